"""Where a training step's time on the device goes."""

import re
import time
from collections import Counter

import models
import steps
from harness import Budget, Machine, Report
from torch.profiler import ProfilerActivity
from torch.profiler import profile as watch

KINDS = {  # by the names of kernels, first that fits
    'attention': r'flash|fmha|attention|softmax',
    'matrix products': r'gemm|cutlass|wgmma|sgemm|matmul|cublas|nvjet|splitk',
    'convolution': r'conv|dgrad|wgrad|cudnn',
    'normalisation': r'norm|welford',
    'reduction': r'reduce',
    'copies and casts': r'copy|cat|memcpy|memset|fill|direct_copy',
    'element-wise': r'elementwise|vectorized|unrolled|gelu|sigmoid|silu',
    'optimiser': r'multi_tensor|foreach|adam',
}


def profile(report: Report, budget: Budget, machine: Machine) -> None:
    """Where a step's time on the device goes: kinds of kernels, the dozen largest, idle time."""
    settings = [models.SETTINGS[i] for i in (0, 3, 1, 2)]
    for setting in settings:
        for form in ('ours', 'plain'):
            name = f'{setting.name}, {form}'
            if not budget.allows(report, name, 5):
                return
            with report.guard(name):
                own = steps.quick(setting) if machine.quick else setting
                _profile_one(report, machine, name, steps.Step(machine, own, form))


def _profile_one(report: Report, machine: Machine, name: str, step) -> None:
    for _ in range(3):
        step()
    machine.synchronise()
    start = time.perf_counter()
    step()
    machine.synchronise()
    wall = time.perf_counter() - start
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if machine.cuda else [])
    with watch(activities=kinds) as watched:
        step()
        machine.synchronise()
    events = watched.key_averages()
    sort = 'self_device_time_total' if machine.cuda else 'self_cpu_time_total'
    with (report.out / 'profiles.md').open('a', encoding='utf-8') as page:
        table = events.table(sort_by=sort, row_limit=25, max_name_column_width=70)
        page.write(f'\n## {name}\n\n```\n{table}\n```\n')
    if machine.cuda:
        kernels = [
            (e.key, e.self_device_time_total, e.count)
            for e in events
            if str(e.device_type).endswith('CUDA')
            and e.self_device_time_total > 0
            and not getattr(e, 'is_user_annotation', False)
        ]
    else:
        kernels = [(e.key, e.self_cpu_time_total, e.count) for e in events]
    total = sum(t for _, t, _ in kernels) or 1.0
    waits = sum(e.count for e in events if 'Synchronize' in e.key)
    report.row(
        f'{name}: whole',
        wall_ms=1e3 * wall,
        device_ms=total / 1e3,
        busy=total / 1e6 / wall,
        kernels=sum(n for *_, n in kernels),
        waits=waits,
    )
    by_kind: Counter = Counter()
    for key, spent, _ in kernels:
        low = key.lower()
        by_kind[next((k for k, p in KINDS.items() if re.search(p, low)), 'other')] += spent
    report.row(f'{name}: shares', **{k: round(v / total, 3) for k, v in by_kind.most_common()})
    for key, spent, count in sorted(kernels, key=lambda k: -k[1])[:12]:
        report.row(name, kernel=key[:90], ms=spent / 1e3, share=spent / total, count=count)
