"""`mmstadapter fit` in Python."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from .caption_list import is_caption_list
from .finished import Fitted, digest, find, work_dir_of, write_note


def fit(
    root: str | Path,
    work_dir: str | Path | None = None,
    *,
    method: str | None = None,
    arch: str | None = None,
    checkpoint: str | Path | None = None,
    base: str | Path | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    sampling: str | None = None,
    mirror: bool | None = None,
    layout: str = 'auto',
    every_frame: bool = False,
    num_workers: int | None = None,
    videos: str | Path | None = None,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    features: bool | str | Path | None = None,
    feature_copies: int = 4,
    exact_features: bool = False,
    dry_run: bool = False,
) -> Fitted | None:
    """Train on a folder of class folders of videos, from nothing to an adapter file.

        fitted = mmstadapter.fit('mine')
        mmstadapter.Predictor(fitted.adapter)('new.mp4')

    Or on a list of captions of videos, to find videos by a sentence, by the methods
    ``'stadapter'`` (if None), ``'side4video'``, ``'clip4clip'``, ``'tempme'``, ``'lora'`` and
    ``'dora'``:

        fitted = mmstadapter.fit('captions.csv')
        model = mmstadapter.SearchModel(checkpoint=fitted.adapter)

    The same as ``mmstadapter fit``, whose options these are. Training and test run in processes
    of their own; called again with the same videos and options it goes on where it stopped, or
    gives at once what is done.

    Args:
        root: a folder of videos for each class, or ``train``, ``val`` and ``test`` with such; or
            a CSV file with the columns ``video`` and ``caption``, and perhaps ``split``.
        work_dir: folder of everything that is written; work_dirs/fit_<name of root> if None.
        method: ``'stadapter'`` (if None), ``'side4video'``, ``'tdsclip'``, ``'aim'``,
            ``'zeroi2v'``, ``'evl'``, ``'dist'``, ``'probe'``, ``'lora'``, ``'dora'``,
            ``'linear'`` or ``'attnpool'``; with captions see above.
        arch: ``'vit-b-p16'`` (if None), ``'vit-b-p32'``, ``'vit-l-p14'`` or ``'vit-l-p14-336'``.
        checkpoint: the trunk's weights, a file or a known name; OpenAI's for the arch if None.
        base: a config to inherit, path or shipped name, instead of ``method`` and ``arch``.
        val_fraction: share of each class, or of the captioned videos, to test on, in (0, 1),
            where no split is given.
        seed: another one gives another split.
        epochs: at least 2; by the number of videos if None, as all that follow.
        batch_size: clips a step.
        lr: peak learning rate.
        sampling: ``'stride'``, ``'segments'`` or ``'base'``, which frames make a clip.
        mirror: train on mirror images too; if None tried on a few clips, with captions not.
        layout: ``'classes'`` if the folders in ``root`` are the classes whatever they look like.
        every_frame: decode all frames when checking the videos.
        num_workers: data-loading processes; the number of cores up to 8 if None.
        videos: the folder that the CSV's paths start from; its own if None.
        options: other settings of the config, dotted, or KEY=VALUE as for ``--cfg-options``.
        features: let the frozen trunk look at the clips once and keep what it gives, in this
            folder, or in one of the work dir if True; for methods beside the trunk, probes and
            the linear baselines.
        feature_copies: augmented clips of each training video that are kept.
        exact_features: keep them as they are, not float32 as float16.
        dry_run: write lists and config, and do not train.

    Returns:
        Adapter file, accuracy or recall and the rest of :class:`Fitted`; None after a dry run.

    Raises:
        ValueError, FileNotFoundError, RuntimeError: videos, options, weights or config that do
            not fit together; a work dir with another training; a command that failed.
    """
    settings: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in locals().items()
        if name != 'dry_run'
    }
    if isinstance(options, Mapping):
        settings['options'] = [f'{name}={value}' for name, value in options.items()]
    if not dry_run and (done := find(settings)):
        print('Already done, with these videos and options.')
        return done
    with quiet_log():
        # What they need is not imported with the package.
        from .caption_fitting import CaptionFit
        from .fitting import Fit

        kind = CaptionFit if is_caption_list(root) else Fit
        job = kind.prepare(fetch=not dry_run, **settings)
        expected = '' if job.last.is_file() and not features else job.expect()
    print('\n'.join(filter(None, [job.describe(), expected])), flush=True)
    if dry_run:
        for name, command in job.commands().items():
            print(f'{name}: {shlex.join(command)}')
        return None
    if job.last.is_file():
        print(f'goes on after {job.last.read_text().strip()}', flush=True)
    result = job.run()
    write_note(job.work_dir, digest(settings['root'], settings), result)
    return Fitted(work_dir_of(root, work_dir), result)


@contextmanager
def quiet_log() -> Iterator[None]:
    """Errors alone, and not among what is printed for the user: training logs it all again."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)
