"""The repairs of MMEngine's runner, applied by `host.mend` with the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.runner import Runner

from . import keeping, loading


def load_strictly() -> bool:
    """Let no run go on from weights that are damaged, not numbers, or another model's.

    Without it (MMEngine 0.10.7): ``--resume`` and ``load_from`` log what does not fit and go on
    with random values, a checkpoint without an optimiser's state or even without weights
    included; a test does the same under mim; ``--resume`` looks at one file only, cut in half
    or not; and an entry ``meta['config']`` of the file is run as Python. Can go when MMEngine
    resumes strictly.
    """
    names = ('load_or_resume', 'load_checkpoint', 'resume')
    return _replace(Runner, {name: getattr(loading, name) for name in names})


def write_whole() -> bool:
    """Let a file hold its old or its new content at any moment, also on a full disk.

    Without it (MMEngine 0.10.7): a kill or a full disk leaves half of a checkpoint, of dumped
    predictions or of a result under its final name. Can go when MMEngine writes beside and
    renames.
    """
    return _replace(LocalBackend, dict(put=keeping.put, put_text=keeping.put_text))


def keep_checkpoints() -> bool:
    """Let a kill at any moment of saving or validating lose nothing.

    Without it (MMEngine 0.10.7): checkpoints are removed before those that replace them are
    written; and the validation during which a run was killed is never made up for, so that
    another ``best_*.pth`` may be kept. Can go when MMEngine does both.
    """
    names = ('before_train', 'after_val_epoch')
    ours = {name: getattr(keeping, name) for name in names}
    ours['_save_checkpoint_with_step'] = keeping.save_checkpoint_with_step
    return _replace(CheckpointHook, ours)


def write_whole_numbers() -> bool:
    """Let counts, such as that of undecodable videos, into the file of a test's results.

    Without it (MMEngine 0.10.7): ``null`` in their place, since the log keeps them as NumPy's
    integers. Can go when MMEngine's ``LoggerHook`` writes these.
    """
    theirs = LoggerHook._process_tags
    if theirs(dict(count=np.int64(1)))['count'] == 1:
        return False

    def process_tags(tags: dict) -> dict:
        return theirs(_plain(tags))

    LoggerHook._process_tags = staticmethod(process_tags)
    return True


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, inside lists and dicts too."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value


def _replace(owner: type, ours: dict[str, Callable]) -> bool:
    """Put functions in the place of methods, once."""
    for name, function in ours.items():
        theirs = getattr(owner, name)
        if getattr(theirs, '__module__', '').startswith(__package__):
            return False
        setattr(owner, name, function)
    return True


MENDS: tuple[Callable[[], bool], ...] = (
    load_strictly,
    write_whole,
    keep_checkpoints,
    write_whole_numbers,
)
