"""Check mmstadapter on a GPU: right numbers, memory, time, operators, inference.

    python benchmarks/gpu/check_gpu.py --out FOLDER [--sections numbers,steps] [--budget-s 460]

`--quick` takes toy sizes, also on a CPU. Everything is written at once to FOLDER/results.jsonl and
results.md, profiles to profiles.md. A section that fails is recorded with its traceback, and the
next one runs. Exit status 1 if a check did not hold or something raised.
"""

import argparse
import gc
import platform
import sys
import time
import traceback
import warnings
from pathlib import Path

import arithmetic
import compiling
import inference
import mmengine
import numpy
import operators
import parts
import processes
import profiling
import steps
import torch
import training
from harness import Budget, Machine, Report
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import mmstadapter

REFERENCE = Path(__file__).resolve().parents[2] / 'tests' / 'reference'
# name -> (function, share of the budget at most, extra arguments); in order of importance
SECTIONS = {
    'golden': (arithmetic.golden, 0.10),
    'backbones': (arithmetic.backbones, 0.10),
    'real_size': (arithmetic.real_size, 0.08),
    'amp_steps': (training.amp_steps, 0.06),
    'steps': (steps.steps, 0.36),
    'profile': (profiling.profile, 0.08),
    'depthwise': (operators.depthwise, 0.10),
    'elementwise': (operators.elementwise, 0.10),
    'processes': (processes.processes, 0.12),
    'runner': (training.runner, 0.12),
    'parts': (parts.parts, 0.08),
    'variants': (arithmetic.variants, 0.08),
    'retrieval': (inference.retrieval, 0.08),
    'predictor': (inference.predictor, 0.08),
    'search': (inference.search, 0.05),
    'compile': (compiling.compiled, 0.50),
}
GROUPS = dict(
    numbers=['golden', 'backbones', 'real_size', 'amp_steps', 'processes', 'runner', 'variants'],
    speed=['steps', 'profile', 'depthwise', 'elementwise', 'parts'],
    operators=['profile', 'depthwise', 'elementwise', 'parts'],
    inference=['retrieval', 'predictor', 'search'],
)


def parse_args() -> argparse.Namespace:
    """The command line, with ``names`` the sections in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--out', type=Path, default=Path('gpu_check'), help='folder for the results')
    add('--sections', default='all', help=f'of {", ".join(SECTIONS)}, or {", ".join(GROUPS)}')
    add('--budget-s', type=float, default=460.0, help='seconds in all')
    add('--quick', action='store_true', help='toy sizes')
    add('--device', default='cuda:0' if torch.cuda.is_available() else 'cpu')
    add('--cases', type=Path, nargs='*', default=[REFERENCE], help="folders of the authors' cases")
    args = parser.parse_args()
    names = []
    for name in args.sections.split(','):
        names += list(SECTIONS) if name == 'all' else GROUPS.get(name, [name])
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f'unknown sections {unknown}')
    args.names = list(dict.fromkeys(names))
    return args


def describe(report: Report, machine: Machine, args: argparse.Namespace) -> None:
    """Versions, the device and its ceilings."""
    report.open('machine', f'{time.strftime("%Y-%m-%d %H:%M")}; {" ".join(sys.argv[1:])}')
    report.row(
        'versions',
        mmstadapter=mmstadapter.__version__,
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        numpy=numpy.__version__,
        mmengine=mmengine.__version__,
        python=platform.python_version(),
    )
    if machine.cuda:
        p = torch.cuda.get_device_properties(machine.device)
        report.row(
            'device',
            device=p.name,
            memory_gb=p.total_memory / 1e9,
            processors=p.multi_processor_count,
            capability=f'{p.major}.{p.minor}',
        )
    with report.guard('ceilings'):
        machine.measure_ceilings()
        report.row('ceilings', bf16_tflops=machine.matmul_tflops, copy_gb_s=machine.copy_gbps)


def main() -> int:
    """Run the sections; 1 if something does not hold."""
    args = parse_args()
    warnings.filterwarnings('ignore')
    init_default_scope('mmaction')
    MMLogger.get_current_instance().setLevel('ERROR')
    gc.freeze()  # what was imported stays; collecting is then quick
    report = Report(args.out)
    budget = Budget(args.budget_s)
    machine = Machine(args.device, args.quick)
    describe(report, machine, args)
    for name in args.names:
        function, share = SECTIONS[name]
        report.open(name, (function.__doc__ or '').strip())
        if not budget.allows(report, name, 5):
            continue
        own = Budget(min(budget.left - 2, max(share * args.budget_s, 20)))
        extra = [args.cases] if name == 'golden' else []
        start = time.monotonic()
        try:
            function(report, own, machine, *extra)
        except Exception as error:  # any: the next section shall run
            report.row(
                name,
                'ERROR',
                error=f'{type(error).__name__}: {error}'[:300],
                traceback=traceback.format_exc(),
            )
        report.row(f'{name}: seconds', seconds=time.monotonic() - start)
    report.close()
    return int(bool(report.counts.get('FAIL') or report.counts.get('ERROR')))


if __name__ == '__main__':
    sys.exit(main())
