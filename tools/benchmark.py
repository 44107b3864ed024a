"""Compare ways to adapt an image model to video on moving digits, over several seeds.

    python tools/benchmark.py            # all rows of docs/benchmark.md; up to an hour on 2 cores

The rows of ST-Adapter's Tables 1 and 5 and Side4Video on the tiny image model, two tasks, and
search by caption on the same clips; three seeds. Every run is a shipped config with some fields
changed, trained by the ordinary runner. A finished run is not done again; the table and the
figure are written from what is finished, also after an interruption.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

from benchmark_runs import (  # noqa: E402
    CAPTIONS,
    METHODS,
    RETRIEVERS,
    TASKS,
    Plan,
    complete,
    methods_of,
    start_worker,
)

# Of a run of six epochs, where it is not the usual.
CPU_SECONDS = dict(linear=14, full=80, zeroshot=4, clip4clip=20)
USUAL_SECONDS = 45


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--data-root', default='data/moving_digits', help='folder of the data and the image model')
    add('--work-dir', default='work_dirs/benchmark', help='folder of results and logs')
    rows, tasks = list(METHODS | RETRIEVERS), [*TASKS, CAPTIONS]
    add('--methods', nargs='+', choices=rows, default=rows, help='rows [all]')
    add('--tasks', nargs='+', choices=tasks, default=tasks, help='[all]')
    add('--seeds', nargs='+', type=int, default=[0, 1, 2], help='[0 1 2]')
    add('--epochs', type=int, help="epochs of every run, at least 2 [the configs' 6]")
    add('--jobs', type=int, default=min(2, os.cpu_count() or 1), help='runs at a time')
    add('--docs', default='docs', help='folder for benchmark.json, benchmark.md, benchmark.png')
    add('--report', action='store_true', help='no runs: write the table of what is finished')
    args = parser.parse_args(argv)
    if args.epochs is not None and args.epochs < 2:
        parser.error(f'--epochs must be at least 2, the first is for warming up; got {args.epochs}')
    return args


def make_data(root: Path) -> None:
    """The clips and the image model, unless they are there."""
    digits = TOOLS / 'data' / 'moving_digits'
    subprocess.run([sys.executable, digits / 'prepare.py', '--root', root], check=True)
    model = root / 'clip_tiny.safetensors'
    subprocess.run([sys.executable, digits / 'pretrain.py', '--out', model], check=True)


def plan_runs(args: argparse.Namespace) -> list[Plan]:
    """All runs, the most telling first: kernels on motion, digits, captions, then the others."""
    kernels = [m for m in args.methods if m in ('linear', *RETRIEVERS) or 'stadapter-' in m]
    others = [m for m in args.methods if m not in kernels]
    return [
        Plan(method, task, seed, args.data_root, args.work_dir, args.epochs)
        for group in (kernels, others)
        for task in args.tasks
        for seed in args.seeds
        for method in group
        if method in methods_of(task)
    ]


def estimate(plans: list[Plan], jobs: int) -> float:
    """Minutes that runs take, on idle cores."""
    seconds = sum(
        CPU_SECONDS.get(plan.method, USUAL_SECONDS) * (plan.epochs or 6) / 6 for plan in plans
    )
    return (seconds / jobs + 20) / 60


def run_all(plans: list[Plan], jobs: int, log_dir: Path) -> None:
    """Complete runs, some at a time; what fails is told, and stops the rest."""
    start = time.perf_counter()
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(jobs, context, start_worker, (str(log_dir),)) as pool:
        waiting = {pool.submit(complete, plan): plan for plan in plans}
        try:
            for number, future in enumerate(as_completed(waiting), start=1):
                name = waiting[future].name()
                result = future.result()
                past = (time.perf_counter() - start) / 60
                left = past / number * (len(plans) - number)
                print(
                    f'[{past:5.1f} min] {name}: {figures(result)}, '
                    f'{number} of {len(plans)} runs, about {left:.0f} min left',
                    flush=True,
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def figures(result: dict) -> str:
    """What came out of a run, in per cent."""
    return ', '.join(f'{key} {result[key]:.1f}' for key in ('top1', 't2v', 'v2t') if key in result)


def finished(plans: list[Plan]) -> list[dict]:
    """Results of the finished ones among the runs."""
    return [result for plan in plans if (result := plan.result()) is not None]


def write_report(results: list[dict], folder: Path) -> None:
    """benchmark.json, and from it the table and the figure."""
    from benchmark_page import draw, page

    folder.mkdir(parents=True, exist_ok=True)
    lines = ',\n'.join(json.dumps(result) for result in results)
    (folder / 'benchmark.json').write_text(f'[\n{lines}\n]\n')
    (folder / 'benchmark.md').write_text(page(results))
    draw(results, folder / 'benchmark.png')


def main() -> None:
    """Run what is missing, and write the report."""
    args = parse_args()
    if not args.report:
        make_data(Path(args.data_root))
    plans = plan_runs(args)
    missing = [plan for plan in plans if plan.result() is None]
    print(f'{len(plans) - len(missing)} of {len(plans)} runs are finished in {args.work_dir}')
    try:
        if missing and not args.report:
            minutes = estimate(missing, args.jobs)
            print(f'{len(missing)} to go, {args.jobs} at a time: {minutes:.0f} min on idle cores')
            Path(args.work_dir).mkdir(parents=True, exist_ok=True)
            run_all(missing, args.jobs, Path(args.work_dir))
    finally:
        results = finished(plans)
        if results:
            write_report(results, Path(args.docs))
            print(f'{len(results)} results in {args.docs}/benchmark.md and benchmark.png')


if __name__ == '__main__':
    main()
