"""The demonstration: data, image model, training, testing, search, a table and a picture."""

import argparse
import importlib.util
import shutil
import signal
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from . import search
from .runs import METHODS, TASKS, Console, Run, StepFailed, runs_through_mim, tool
from .search import SearchRun

BOUND = 50.0  # per cent of motions, for any method that does not look at the order of frames


def remove_results(data_root: Path, work_dir: Path) -> None:
    """Delete what earlier demonstrations made, and nothing else."""
    for method in METHODS:
        for task in TASKS:
            shutil.rmtree(work_dir / f'{method}-{task}', ignore_errors=True)
    search.remove(work_dir)
    if (data_root / 'recipe.json').is_file():
        shutil.rmtree(data_root / 'videos', ignore_errors=True)
        for pattern in ('*.txt', '*.json', 'clip_tiny.safetensors'):
            for path in data_root.glob(pattern):
                path.unlink()


def run_all(runs: list[Run], jobs: int) -> None:
    """Train and test every run, some at a time; the first failure stops all.

    Raises:
        StepFailed: with the end of the log of the run that failed.
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = [pool.submit(run.complete) for run in runs]
        try:
            done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
            failed = next((future.exception() for future in done if future.exception()), None)
        except BaseException as error:  # the keyboard, or the end of the session
            failed = error
        if failed is not None:
            for future in waiting:
                future.cancel()
            for run in runs:
                run.stop()
            raise failed


def table(runs: list[Run]) -> str:
    """The results as a small Markdown table."""
    rows = ['| method | tuned parameters | motion, top-1 | digit, top-1 |', '|---|---|---|---|']
    for method, label in METHODS.items():
        motion, digit = (next(r for r in runs if (r.method, r.task) == (method, t)) for t in TASKS)
        top1 = f'{motion.top1():.1f} | {digit.top1():.1f}'
        rows.append(f'| {label} | {motion.tuned_parameters():,} | {top1} |')
    rows.append(f'| any bag of frames, at most | | {BOUND:.1f} | |')
    return '\n'.join(rows)


def demonstrate(args: argparse.Namespace) -> None:
    """Do all steps and show what came out.

    Args:
        args: the options of `mmstadapter demo`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop the runs as well
    data_root, work_dir = Path(args.data_root), Path(args.work_dir)
    if args.fresh:
        remove_results(data_root, work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    console = Console(time.perf_counter())
    model = data_root / 'clip_tiny.safetensors'
    console.say(f'logs of every step: {work_dir}/')
    try:
        console.step('1/5 data: digits that move, filmed as H.264')
        script = [*tool('prepare'), 'moving_digits', '--root', str(data_root)]
        console.follow(script, work_dir / 'prepare.log')
        console.step('2/5 image model: a tiny CLIP, trained on stills')
        script = [*tool('prepare'), 'tiny_clip', '--out', str(model)]
        console.follow(script, work_dir / 'pretrain.log')
        through_mim = runs_through_mim()
        runs = [
            Run(method, task, data_root, work_dir, args.epochs, through_mim, console)
            for task in TASKS
            for method in reversed(METHODS)
        ]
        retriever = SearchRun(data_root, work_dir, args.epochs, through_mim, console)
        console.step(f'3/5 train and test {len(runs) + 1} models, {args.jobs} at a time')
        if not through_mim:
            console.say('mim cannot find this package (see `pip install .`): using its own command')
        run_all([retriever, *runs], args.jobs)
        console.step('4/5 search the validation clips, none of which was seen in training')
        found = retriever.search()
    except StepFailed as error:
        sys.exit(f'\n{error}')
    except KeyboardInterrupt:
        sys.exit('\nStopped; the same command goes on from here.')
    console.step('5/5 results')
    result = table(runs)
    (work_dir / 'result.md').write_text(result + '\n')
    picture = work_dir / 'result.png'
    if importlib.util.find_spec('matplotlib') is None:
        console.say('no picture: matplotlib is missing (pip install matplotlib)')
    else:
        from .picture import draw

        draw(runs, data_root, BOUND, picture)
    print(f'\n{result}\n')
    print('Top-1 in per cent on 400 validation clips of unseen handwriting. The clips come in')
    print('pairs, one the other played backwards: without the order of frames, half are lost.')
    print('\nSearch by caption, by a side network that was trained on captions alone (score, from,')
    print('to, file):\n')
    print(f'{found}\n')
    print(f'{retriever.summary()}, in galleries of 80; at most')
    print(f'{BOUND:.0f} both ways without the order of frames.')
    print(f'Pictures: {picture}, {work_dir / "search.html"}   ({console.elapsed():.0f} s)')
