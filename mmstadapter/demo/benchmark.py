"""The benchmark: its runs in their order, some at a time, and its report."""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ..preparation import moving_digits, tiny_clip
from .benchmark_runs import RETRIEVERS, Plan, complete, methods_of, start_worker

# Of a run of six epochs, where it is not the usual.
CPU_SECONDS = dict(linear=14, full=80, zeroshot=4, clip4clip=20)
USUAL_SECONDS = 45


def make_data(root: Path) -> None:
    """The clips and the image model, unless they are there."""
    moving_digits.prepare(root)
    tiny_clip.prepare(root / 'clip_tiny.safetensors')


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
    from .benchmark_page import draw, page

    folder.mkdir(parents=True, exist_ok=True)
    lines = ',\n'.join(json.dumps(result) for result in results)
    (folder / 'benchmark.json').write_text(f'[\n{lines}\n]\n')
    (folder / 'benchmark.md').write_text(page(results))
    draw(results, folder / 'benchmark.png')


def compare(args: argparse.Namespace) -> None:
    """Run what is missing, and write the report.

    Args:
        args: the options of `mmstadapter benchmark`.
    """
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
