"""Decode the videos of a config once, into a cache that its training reads."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import DATASETS
from mmengine.config import Config

from ..datasets.clip_cache import CachedVideo, Storing, decoded, is_cached, store
from ..datasets.loading import with_suffix
from ..datasets.opening import VideoReadError
from .processes import in_processes

TRIED = 8  # videos from which size and time are told
MARGIN = 1.1  # of the estimated size that must be free


@dataclass
class Estimate:
    """What the videos that are not cached yet will take.

    Attributes:
        videos: how many there are, and of them to do.
        todo: paths.
        nbytes: on the disk.
        seconds: of one process.
        free: bytes that the disk has.
    """

    videos: int
    todo: list[str]
    nbytes: int
    seconds: float
    free: int

    def __str__(self) -> str:
        return (
            f'{len(self.todo)} of {self.videos} videos to decode: about {self.nbytes / 1e9:.2f} GB '
            f'and {self.seconds / 60:.1f} minutes of one core; {self.free / 1e9:.1f} GB are free.'
        )


@dataclass
class CacheReport:
    """What was done.

    Attributes:
        stored: videos decoded now.
        nbytes: that they take.
        wrong: why others cannot be decoded; a run learns it from the cache.
        error: of JPEG in grey levels: the mean, and the largest of all.
    """

    stored: int = 0
    nbytes: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    error: tuple[float, float] = (0.0, 0.0)


def videos_of(cfg: Config, loaders: Sequence[str]) -> list[str]:
    """Paths of the videos in the data sets of these loaders, each once.

    Raises:
        ValueError: if a data set is of folders of images, or there is no such loader.
    """
    paths: dict[str, None] = {}
    for kind in loaders:
        dataset = _dataset(cfg, kind)
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            if 'frame_dir' in info or info.get('filename_tmpl'):
                raise ValueError(
                    f'cache: {kind}_dataloader reads folders of images, which are decoded already. '
                    'Name the loaders that read videos with --loaders.'
                )
            paths[with_suffix(info['filename'])] = None
    return list(paths)


def _dataset(cfg: Config, kind: str) -> Any:
    loader = cfg.get(f'{kind}_dataloader')
    if not loader:
        raise ValueError(f'cache: the config has no {kind}_dataloader.')
    return DATASETS.build(loader['dataset'])


def estimate(paths: Sequence[str], folder: str | Path, how: Storing) -> Estimate:
    """Decode a few of the videos, store nothing, and tell what all will take."""
    todo = [path for path in paths if not _is_done(folder, path, how)]
    tried = todo[:: max(1, len(todo) // TRIED)][:TRIED]
    sizes, start = [], time.perf_counter()
    for path in tried:
        try:
            sizes.append(sum(tensor.nbytes for tensor in decoded(path, how)[0].values()))
        except VideoReadError:
            sizes.append(0)
    share = len(todo) / max(len(tried), 1)
    seconds = (time.perf_counter() - start) * share
    return Estimate(len(paths), todo, int(sum(sizes) * share), seconds, free_room(Path(folder)))


def cache_videos(
    todo: Sequence[str],
    folder: str | Path,
    how: Storing,
    num_workers: int = 1,
    progress: Callable[[str], None] = lambda path: None,
) -> CacheReport:
    """Store the frames of these videos; what is stored stays if the process ends.

    Args:
        todo: paths, see `Estimate.todo`.
        folder: of the cache.
        how: they are stored.
        num_workers: processes; 1 is this one.
        progress: is told each video that is done.

    Raises:
        OSError: no room, or no permission to write.
        RuntimeError: a process died.
    """
    report, means = CacheReport(), []
    work = partial(_work, folder, how)
    results = in_processes(work, todo, num_workers) if num_workers > 1 else map(work, todo)
    for path, size, (mean, largest) in results:
        report.stored += 1
        report.nbytes += size
        means.append(mean)
        report.error = float(np.mean(means)), max(report.error[1], float(largest))
        try:
            CachedVideo(folder, path)
        except VideoReadError as error:
            report.wrong[path] = error.reason
        progress(path)
    return report


def _work(folder: str | Path, how: Storing, path: str) -> tuple[str, int, np.ndarray]:
    return path, *store(folder, path, how)


def _is_done(folder: str | Path, path: str, how: Storing) -> bool:
    return os.path.isfile(path) and is_cached(folder, path, how)


def free_room(folder: Path) -> int:
    """Bytes of the disk on which a folder lies or will lie."""
    there: Iterator[Path] = (part for part in (folder, *folder.absolute().parents) if part.exists())
    return shutil.disk_usage(next(there)).free
