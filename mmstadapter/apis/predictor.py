"""Predict with an adapter file: videos in, label names and scores out."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log

from ..datasets.files import in_numbers, sorted_out
from ..datasets.packets import VideoReadError
from .adapter_model import read_model
from .device import choose_device


class Predictor:
    """The model of an adapter file, its preprocessing and its label names.

        predict = mmstadapter.Predictor('adapter.safetensors')
        predict(['a.mp4', 'b.mp4'], topk=3)

    Nothing of the file is executed: it is built from registered classes, see
    :func:`stored_config`. Sampling, size, views and their averaging are those of the test
    pipeline the adapter was published with; any length of video works, short ones by the
    sampling's rule (frames repeat).

    Args:
        adapter: a file that `mmstadapter fit` or `mmstadapter publish` wrote.
        checkpoint: the trunk's pretrained file or known name; the one stored in the adapter
            file if None. Another trunk than the adapter was trained on is an error.
        device: ``'cpu'``, ``'cuda:1'`` ...; the first GPU, else the CPU, if None.
        batch_size: videos at a time.

    Raises:
        ValueError: not an adapter file, or one that cannot be used as it is.
        RuntimeError: another trunk, or a file of another size.
        FileNotFoundError: no such adapter or trunk file.
    """

    def __init__(
        self,
        adapter: str | Path,
        checkpoint: str | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 4,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'Predictor: batch_size must be at least 1, got {batch_size}.')
        self.batch_size = batch_size
        self.device = choose_device(device)
        model, _, steps, header = read_model(adapter, checkpoint)
        self.half = bool((header['config'].get('test_cfg') or {}).get('fp16'))
        self.pipeline = Compose(steps)
        self.model = model.to(self.device).eval()
        self.labels = _labels(header, self.model.cls_head.num_classes, str(adapter))

    def __call__(
        self, videos: str | Path | Iterable[str | Path], topk: int | None = None
    ) -> list[dict[str, Any]]:
        """Predict videos; folders stand for all videos in them.

        Args:
            videos: files or folders, one or several.
            topk: only the best so many labels; all if None.

        Returns:
            A dict a video, in order: ``video`` (the path), ``labels`` (names, best first) and
            ``scores`` (theirs, in [0, 1]). One that cannot be decoded has neither, and the
            reason in ``error``.

        Raises:
            ValueError: if a folder holds no videos, or ``topk`` is below 1.
        """
        if topk is not None and topk < 1:
            raise ValueError(f'Predictor: topk must be at least 1, got {topk}.')
        return [entry for batch in self._batches(videos) for entry in self._predict(batch, topk)]

    def embed(self, videos: str | Path | Iterable[str | Path]) -> list[dict[str, Any]]:
        """The features of videos that the classifier reads.

        Args:
            videos: files or folders, one or several.

        Returns:
            A dict a video, in order: ``video`` (the path) and ``feature`` (D,), float32 on the
            CPU, the mean over the views. One that cannot be decoded has the reason in ``error``.
        """
        return [entry for batch in self._batches(videos) for entry in self._embed(batch)]

    def _batches(self, videos: str | Path | Iterable[str | Path]) -> Iterator[list[str]]:
        files = expand([videos] if isinstance(videos, str | Path) else videos)
        for start in range(0, len(files), self.batch_size):
            yield files[start : start + self.batch_size]

    @torch.inference_mode()
    def _predict(self, files: list[str], topk: int | None) -> list[dict[str, Any]]:
        entries = [self._read(file) for file in files]
        samples = [entry.pop('sample') for entry in entries if 'sample' in entry]
        if samples:
            with self._precision():
                found = self.model.test_step(pseudo_collate(samples))
            read = (entry for entry in entries if 'error' not in entry)
            for entry, sample in zip(read, found, strict=True):
                self._note(entry, sample.pred_score.float().cpu(), topk)
        return entries

    @torch.no_grad()  # not inference mode, whose tensors cannot be trained on
    def _embed(self, files: list[str]) -> list[dict[str, Any]]:
        entries = [self._read(file) for file in files]
        read = [entry for entry in entries if 'sample' in entry]
        if read:
            samples = pseudo_collate([entry.pop('sample') for entry in read])
            inputs = self.model.data_preprocessor(samples, False)['inputs']
            with self._precision():
                features, _ = self.model.extract_feat(inputs, test_mode=True)
            means = rearrange(features.float().cpu(), '(b views) d -> b views d', b=len(read)).mean(
                1
            )
            for entry, mean in zip(read, means, strict=True):
                entry['feature'] = mean.clone()
        kept = ('video', 'feature', 'error')
        return [{key: entry[key] for key in kept if key in entry} for entry in entries]

    def _precision(self):
        """On a GPU as in testing; the CPU's autocast would be bfloat16, so there float32."""
        half = self.half and self.device.type == 'cuda'
        return torch.autocast('cuda', torch.float16) if half else nullcontext()

    def _read(self, file: str) -> dict[str, Any]:
        entry: dict[str, Any] = dict(video=file, labels=[], scores=[])
        info = dict(filename=file, label=-1, start_index=0, modality='RGB')
        try:
            return entry | dict(sample=self.pipeline(info))
        except VideoReadError as error:
            return entry | dict(error=error.reason)

    def _note(self, entry: dict[str, Any], scores: torch.Tensor, topk: int | None) -> None:
        order = scores.argsort(descending=True, stable=True)[:topk].tolist()
        entry['labels'] = [self.labels[index] for index in order]
        entry['scores'] = [round(scores[index].item(), 6) for index in order]


def expand(videos: Iterable[str | Path]) -> list[str]:
    """Paths with each folder replaced by the videos in it; what else is in it is logged.

    Raises:
        ValueError: if a folder holds none.
    """
    files: list[str] = []
    for video in map(Path, videos):
        below, others = sorted_out(video) if video.is_dir() else ([video], {})
        left = f'left out: {in_numbers(others.values())}' if others else ''
        if not below:
            raise ValueError(f'Predictor: no videos in the folder {video}. {left}')
        if others:
            print_log(f'{video}: {left}', 'current', logging.WARNING)
        files += map(str, below)
    return files


def _labels(header: dict[str, Any], num_classes: int, path: str) -> list[str]:
    """The stored label names, or numbers where none are stored."""
    labels = header.get('labels') or [str(number) for number in range(num_classes)]
    if len(labels) != num_classes:
        raise ValueError(
            f'{path}: holds {len(labels)} label names for {num_classes} classes. Publish it again '
            'with one name a class.'
        )
    return [str(label) for label in labels]
