"""The leaderboard: its runs in their order, some at a time, and its page."""

import argparse
import multiprocessing
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from ..preparation import tiny_clip
from . import results, tasks
from .leaderboard_runs import Plan, complete, reason_against, start_worker
from .methods import methods
from .results import Result
from .tasks import TASKS

# Processor seconds of a run, where it is not the usual.
CPU_SECONDS = dict(linear=14, full=80, zeroshot=4, **{'clip4clip-frozen': 20})
USUAL_SECONDS = 45


def plan_runs(args: argparse.Namespace) -> list[Plan]:
    """All runs that are asked for, seed by seed, so that every row has one early."""
    return [
        Plan(method, trunk, task, seed, args.data_root, args.results, args.work_dir)
        for seed in args.seeds
        for trunk in args.trunks
        for task in args.tasks
        for method in methods(TASKS[task].kind)
        if args.methods is None or method in args.methods
    ]


def missing(plans: list[Plan], found: list[Result]) -> list[Plan]:
    """The runs of which there is no result with their settings."""
    by_key = {result.key(): result for result in found}
    return [plan for plan in plans if not (r := by_key.get(plan.name)) or not plan.is_result(r)]


def possible(plans: list[Plan]) -> list[Plan]:
    """The runs that can be done; says why the others cannot."""
    rows = {(plan.method, plan.trunk, plan.task): plan for plan in plans}
    reasons = {row: reason_against(plan) for row, plan in rows.items()}
    for reason in dict.fromkeys(filter(None, reasons.values())):
        names = [' '.join(row) for row, why in reasons.items() if why == reason]
        print(f'left out: {", ".join(names)}: {reason}')
    return [p for p in plans if not reasons[p.method, p.trunk, p.task]]


def make_data(plans: list[Plan], data: Path) -> None:
    """The clips and the image models of runs, unless they are there."""
    tasks.prepare([plan.task for plan in plans], data)
    for path in sorted({plan.image_model for plan in plans}):
        tiny_clip.prepare(path, tower=path.stem.removesuffix('_tiny'))


def run_all(plans: list[Plan], jobs: int, log_dir: Path) -> dict[str, BaseException]:
    """Complete runs, some at a time; returns those that failed, which stop no other."""
    start, failed = time.perf_counter(), {}
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(jobs, context, start_worker, (str(log_dir),)) as pool:
        waiting = {pool.submit(complete, plan): plan.name for plan in plans}
        try:
            for number, future in enumerate(as_completed(waiting), start=1):
                name = waiting[future]
                if error := future.exception():
                    failed[name] = error
                past = (time.perf_counter() - start) / 60
                left = past / number * (len(plans) - number)
                print(
                    f'[{past:5.1f} min] {name}: {outcome(future)}, '
                    f'{number} of {len(plans)} runs, about {left:.0f} min left',
                    flush=True,
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return failed


def outcome(future: Future) -> str:
    """A run's scores, or what it failed of, in a line."""
    if error := future.exception():
        return f'FAILED: {type(error).__name__}: {str(error).partition(chr(10))[0]}'
    return ', '.join(f'{name} {score:.1f}' for name, score in future.result().scores.items())


def estimate(plans: list[Plan], jobs: int) -> float:
    """Minutes that runs take, on idle cores."""
    seconds = sum(CPU_SECONDS.get(plan.method, USUAL_SECONDS) for plan in plans)
    return (seconds / jobs + 20) / 60


def write_page(folder: Path, page: Path) -> None:
    """Make the page and its picture anew from the folder of results."""
    from .leaderboard_figure import draw
    from .leaderboard_page import text

    found = results.read_all(folder)
    if not found:
        raise SystemExit(f'mmstadapter leaderboard: no results in {folder}, so there is no page.')
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text(found), encoding='utf-8')
    draw(found, page.with_suffix('.png'))
    print(f'{len(found)} results of {folder} in {page}')


def compare(args: argparse.Namespace) -> None:
    """Run what is missing, and write the page.

    Args:
        args: the options of `mmstadapter leaderboard`.

    Raises:
        ResultError: if a file of the folder is no result, before anything runs.
    """
    folder, page, work_dir = Path(args.results), Path(args.page), Path(args.work_dir)
    found = results.read_all(folder)
    if args.report:
        write_page(folder, page)
        return
    plans = plan_runs(args)
    left = possible(missing(plans, found))
    print(f'{len(plans)} runs are asked for, {len(left)} are to be done')
    failed: dict[str, BaseException] = {}
    if left:
        make_data(left, Path(args.data_root))
        print(f'{args.jobs} at a time: {estimate(left, args.jobs):.0f} min on idle cores')
        work_dir.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop the runs as well
        try:
            failed = run_all(left, args.jobs, work_dir)
        except KeyboardInterrupt:
            raise SystemExit('Stopped; the same command goes on from here.') from None
    write_page(folder, page)
    if failed:
        raise SystemExit(
            f'mmstadapter leaderboard: {len(failed)} of {len(left)} runs failed: '
            f'{", ".join(failed)}; the logs are in {work_dir}/worker_*.log. '
            'The same command tries them again.'
        )
