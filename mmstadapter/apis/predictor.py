"""Predict with an adapter file: videos in, label names and scores out."""

from collections.abc import Generator
from contextlib import closing, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from mmengine.dataset import Compose, pseudo_collate

from ..ahead import ahead
from ..datasets.opening import VideoReadError
from ..datasets.timing import ASSUMED_RATE
from .adapter_model import read_model
from .clips import after_opening
from .device import choose_device
from .inputs import Source, sources
from .none_of_these import NONE, threshold_of

THREADS = 2  # videos decoded at a time
WINDOW = 4.0  # seconds that a clip is taken to last where its recipe spreads it over any video
FEW = 4  # clips of this many lengths are a long video


class Predictor:
    """The model of an adapter file, its preprocessing and its label names.

        predict = mmstadapter.Predictor('adapter.safetensors')
        predict(['a.mp4', 'b.mp4'], topk=3)

    Nothing of the file is executed: it is built from registered classes, see
    :func:`stored_config`. Sampling, size, views and their averaging are those of the test
    pipeline the adapter was published with; any length of video works, short ones by the
    sampling's rule (frames repeat).

    Args:
        adapter: a file that `mmstadapter fit` or `mmstadapter publish` wrote, the folder it is
            in, or the name of one at the hub, ``hf:OWNER/NAME``.
        checkpoint: the trunk's pretrained file or known name; the one stored in the adapter
            file if None. Another trunk than the adapter was trained on is an error.
        device: ``'cpu'``, ``'cuda:1'`` ...; the first GPU, else the CPU, if None.
        batch_size: videos at a time; the next ones are decoded while the model works.
        none_below: best scores below this are called ``'none of these'``; None: as the adapter
            file says it, which `mmstadapter fit` finds on the validation set, see
            :func:`calibrated`; 0: never.

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
        none_below: float | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'Predictor: batch_size must be at least 1, got {batch_size}.')
        self.batch_size = batch_size
        self.device = choose_device(device)
        model, _, steps, header = read_model(adapter, checkpoint)
        if not hasattr(model, 'cls_head'):
            raise ValueError(
                f'{adapter}: its model is a {type(model).__name__}, which has no classes. '
                'Give the adapter file of a classifier; a model for retrieval searches by '
                '`mmstadapter index` and `mmstadapter search`.'
            )
        self.half = bool((header['config'].get('test_cfg') or {}).get('fp16'))
        self.pipeline = Compose(steps)
        self.model = model.to(self.device).eval()
        self.labels = _labels(header, self.model.cls_head.num_classes, str(adapter))
        self.none_below = threshold_of(header, str(adapter)) if none_below is None else none_below

    def __call__(self, videos: Any, topk: int | None = None, fps: float = 0.0) -> list[dict]:
        """Predict videos; folders stand for all videos in them.

        Args:
            videos: one or several of: a file or folder, frames in memory (an array or tensor
                (T, H, W, 3) uint8 RGB, a list or an iterator of such frames or of PIL images),
                a file opened in binary mode or its bytes. A list or an iterator may hold several.
            topk: only the best so many labels; all if None.
            fps: frames a second of frames in memory, for recipes that go by time.

        Returns:
            A dict a video, in order: ``video`` (the path, or what number it has), ``label`` (the
            best one's name, or ``'none of these'`` where its score is below ``none_below``),
            ``labels`` (names, best first) and ``scores`` (theirs, in [0, 1]); and ``note``, where
            the video is much longer than the clip that was labelled. One that cannot be decoded
            has no labels, and the reason in ``error``.

        Raises:
            ValueError: for anything else than these, no video or no frames, a folder without
                videos, or ``topk`` below 1.
        """
        if topk is not None and topk < 1:
            raise ValueError(f'Predictor: topk must be at least 1, got {topk}.')
        with closing(self._batches(videos, fps)) as batches:
            return [entry for batch in batches for entry in self._predict(batch, topk)]

    def embed(self, videos: Any, fps: float = 0.0) -> list[dict[str, Any]]:
        """The features of videos that the classifier reads.

        Args:
            videos, fps: as of a call.

        Returns:
            A dict a video, in order: ``video`` (the path) and ``feature`` (D,), float32 on the
            CPU, the mean over the views. One that cannot be decoded has the reason in ``error``.
        """
        with closing(self._batches(videos, fps)) as batches:
            return [entry for batch in batches for entry in self._embed(batch)]

    def _batches(self, videos: Any, fps: float) -> Generator[list[dict[str, Any]], None, None]:
        """What was read, a batch of videos at a time, decoded while the model works."""
        makers = (partial(self._read, source) for source in sources(videos, fps))
        with closing(ahead(makers, THREADS)) as streams:
            entries = chain.from_iterable(streams)
            while batch := list(islice(entries, self.batch_size)):
                yield batch

    @torch.inference_mode()
    def _predict(self, entries: list[dict[str, Any]], topk: int | None) -> list[dict[str, Any]]:
        samples = [entry.pop('sample') for entry in entries if 'sample' in entry]
        if samples:
            with self._precision():
                found = self.model.test_step(pseudo_collate(samples))
            read = (entry for entry in entries if 'error' not in entry)
            for entry, sample in zip(read, found, strict=True):
                self._note(entry, sample.pred_score.float().cpu(), topk)
        return entries

    @torch.no_grad()  # not inference mode, whose tensors cannot be trained on
    def _embed(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
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

    def _read(self, source: Source) -> list[dict[str, Any]]:
        entry: dict[str, Any] = dict(video=source.name, label=None, labels=[], scores=[])
        try:
            return [entry | self._sample(source)]
        except VideoReadError as error:
            return [entry | dict(error=error.reason)]

    def _sample(self, source: Source) -> dict[str, Any]:
        """The model's input of a video, and a note where it is a small part of it."""
        results: Any = dict(label=-1, start_index=0, modality='RGB', filename=source.name)
        steps = self.pipeline.transforms
        if (reader := source.opened()) is not None:
            results |= dict(video_reader=reader, total_frames=len(reader), avg_fps=reader.fps)
            steps = after_opening(steps, 'Predictor')
        note: dict[str, str] = {}
        for step in steps:
            results = step(results)
            note = note or long_note(results)
        return dict(sample=results) | note

    def _note(self, entry: dict[str, Any], scores: torch.Tensor, topk: int | None) -> None:
        order = scores.argsort(descending=True, stable=True)[:topk].tolist()
        entry['labels'] = [self.labels[index] for index in order]
        entry['scores'] = [round(scores[index].item(), 6) for index in order]
        is_none = scores[order[0]].item() < self.none_below
        entry['label'] = NONE if is_none else entry['labels'][0]


def long_note(results: dict[str, Any]) -> dict[str, str]:
    """A note once frames were sampled from a video much longer than the clip they make."""
    if 'frame_inds' not in results or 'total_frames' not in results:
        return {}
    fps = results.get('avg_fps') or ASSUMED_RATE
    interval, seconds = results.get('frame_interval'), results['total_frames'] / fps
    clip = interval * results['clip_len'] / fps if interval else WINDOW
    if seconds <= FEW * clip:
        return {}
    return dict(note=f'one label for {seconds:.0f} s; `mmstadapter timeline` labels them over time')


def _labels(header: dict[str, Any], num_classes: int, path: str) -> list[str]:
    """The stored label names, or numbers where none are stored."""
    labels = header.get('labels') or [str(number) for number in range(num_classes)]
    if len(labels) != num_classes:
        raise ValueError(
            f'{path}: holds {len(labels)} label names for {num_classes} classes. Publish it again '
            'with one name a class.'
        )
    return [str(label) for label in labels]
