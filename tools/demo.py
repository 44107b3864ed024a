"""Show what an adapter for video adds, on moving digits, from nothing to a table and a picture.

    python tools/demo.py            # five to six minutes on two idle cores

Makes the data set and the tiny image model, then trains and tests a linear probe and an
ST-Adapter on two tasks, through `mim train` and `mim test`, and a Side4Video retrieval model, with
which it searches the validation clips for a sentence. A run that was stopped goes on
where it was; what is finished is not done again.
"""

import argparse
import importlib.util
import os
import shutil
import signal
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))

import demo_search  # noqa: E402
from demo_runs import METHODS, TASKS, Console, Run, StepFailed, runs_through_mim  # noqa: E402

DIGITS = TOOLS / 'data' / 'moving_digits'
BOUND = 50.0  # per cent of motions, for any method that does not look at the order of frames


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--data-root', default='data/moving_digits', help='folder of the data and the image model')
    add('--work-dir', default='work_dirs/demo', help='folder of logs, checkpoints and the picture')
    add('--epochs', type=int, help="epochs of every run, at least 2 [the configs' 6]")
    add('--jobs', type=int, default=min(2, os.cpu_count() or 1), help='runs at a time')
    add('--fresh', action='store_true', help='do finished steps again')
    args = parser.parse_args()
    if args.epochs is not None and args.epochs < 2:
        parser.error(f'--epochs must be at least 2, the first is for warming up; got {args.epochs}')
    return args


def remove_results(data_root: Path, work_dir: Path) -> None:
    """Delete what earlier demonstrations made, and nothing else."""
    for method in METHODS:
        for task in TASKS:
            shutil.rmtree(work_dir / f'{method}-{task}', ignore_errors=True)
    demo_search.remove(work_dir)
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


def main() -> None:
    """Do all steps and show what came out."""
    args = parse_args()
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
        script = [sys.executable, str(DIGITS / 'prepare.py'), '--root', str(data_root)]
        console.follow(script, work_dir / 'prepare.log')
        console.step('2/5 image model: a tiny CLIP, trained on stills')
        script = [sys.executable, str(DIGITS / 'pretrain.py'), '--out', str(model)]
        console.follow(script, work_dir / 'pretrain.log')
        through_mim = runs_through_mim()
        runs = [
            Run(method, task, data_root, work_dir, args.epochs, through_mim, console)
            for task in TASKS
            for method in reversed(METHODS)
        ]
        retriever = demo_search.SearchRun(data_root, work_dir, args.epochs, through_mim, console)
        console.step(f'3/5 train and test {len(runs) + 1} models, {args.jobs} at a time')
        if not through_mim:
            console.say('mim cannot find this package (see `pip install .`): using its own tools')
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
        from demo_picture import draw

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


if __name__ == '__main__':
    main()
