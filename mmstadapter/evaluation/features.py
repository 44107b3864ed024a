"""Features of a retrieval test set: checked, saved to one file, read back."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..models.retrieval.scoring import score
from ..weights import save_lazily

FORMAT = 'mmstadapter retrieval features 1'
ITEMS = 4096  # items whose numbers are checked at a time


@dataclass
class RetrievalFeatures:
    """Features of A captions and B videos, and which caption describes which video.

    Args:
        text: features of the captions, as `mmstadapter.score` takes them.
        video: features of the videos.
        owner: (A,) index of each caption's video.
        video_ids: B names, all different.
        captions: A texts; may repeat.
        lost: (B,) bool, videos that could not be decoded and have another's features: they are
            never found. None: no video is lost.
        notes: anything worth keeping with them, as short strings.

    Raises:
        ValueError: if numbers or names do not fit together, two videos have one id, a caption
            has no video or a video no caption, or a feature is NaN or infinite.
    """

    text: Mapping[str, Tensor]
    video: Mapping[str, Tensor]
    owner: Tensor
    video_ids: Sequence[str]
    captions: Sequence[str]
    lost: Tensor | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_counts()
        repeated = [name for name, times in Counter(self.video_ids).items() if times > 1]
        if repeated:
            raise ValueError(
                f'retrieval: video ids occur more than once: {some(repeated)}. Give every video '
                'its own id, and one entry with all of its captions.'
            )
        self._check_pairs()
        score({k: v[:0] for k, v in self.text.items()}, {k: v[:0] for k, v in self.video.items()})
        for features, names in ((self.text, self.captions), (self.video, self.video_ids)):
            _check_finite(features, names)

    def _check_counts(self) -> None:
        for side, features, names in (
            ('captions', self.text, self.captions),
            ('videos', self.video, self.video_ids),
        ):
            counts = {key: len(value) for key, value in features.items()}
            if not names or set(counts.values()) != {len(names)}:
                raise ValueError(
                    f'retrieval: {len(names)} {side} need as many rows of features and at least '
                    f'one, got {counts}.'
                )

    def _check_pairs(self) -> None:
        if self.lost is not None and self.lost.shape != (len(self.video_ids),):
            raise ValueError(
                f'retrieval: lost must be ({len(self.video_ids)},), got {tuple(self.lost.shape)}.'
            )
        counted = self.owner.dtype != torch.bool and not self.owner.is_floating_point()
        if self.owner.shape != (len(self.captions),) or not counted:
            raise ValueError(
                f"retrieval: owner must be ({len(self.captions)},), the index of each caption's "
                f'video, whole numbers, got {tuple(self.owner.shape)} {self.owner.dtype}.'
            )
        lost = ((self.owner < 0) | (self.owner >= len(self.video_ids))).nonzero()[:, 0].tolist()
        if lost:
            raise ValueError(
                f'retrieval: captions without a video: {some([self.captions[i] for i in lost])}. '
                'Leave them out, or add the video.'
            )
        counts = torch.bincount(self.owner, minlength=len(self.video_ids))
        silent = [self.video_ids[i] for i in (counts == 0).nonzero()[:, 0].tolist()]
        if silent:
            raise ValueError(
                f'retrieval: videos without a caption: {some(silent)}. Leave them out of the test '
                'list, or give each at least one caption.'
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; ids, captions and notes are JSON in its header."""
        tensors = {f'text/{key}': value for key, value in self.text.items()}
        tensors |= {f'video/{key}': value for key, value in self.video.items()}
        tensors['owner'] = self.owner
        if self.lost is not None:
            tensors['lost'] = self.lost
        header = dict(
            format=FORMAT,
            video_ids=json.dumps(list(self.video_ids), ensure_ascii=False),
            captions=json.dumps(list(self.captions), ensure_ascii=False),
            notes=json.dumps(dict(self.notes), ensure_ascii=False),
        )
        save_lazily(tensors, path, header)

    @classmethod
    def load(cls, path: str | Path) -> 'RetrievalFeatures':
        """Read a file that `save` wrote.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is another kind of file, or its content does not fit together.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'retrieval: no file {path}')
        try:
            with safe_open(path, framework='pt') as file:
                header = file.metadata() or {}
                names = set(file.keys()) if header.get('format') == FORMAT else set()
                tensors = {name: file.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise ValueError(f'retrieval: {path} is not a safetensors file: {error}') from error
        if 'owner' not in tensors:
            raise ValueError(
                f'retrieval: {path} does not hold retrieval features. TextVideoMetric writes '
                'such a file when its option `save` names one.'
            )
        text, video = (
            {k.removeprefix(side): v for k, v in tensors.items() if k.startswith(side)}
            for side in ('text/', 'video/')
        )
        return cls(
            text=text,
            video=video,
            owner=tensors['owner'],
            video_ids=_names(path, header, 'video_ids'),
            captions=_names(path, header, 'captions'),
            lost=tensors.get('lost'),
            notes=json.loads(header.get('notes', '{}')),
        )

    def describe(self) -> str:
        """One line: how many, of what kind and size."""
        if 'vector' in self.text:
            kind = f'vectors of {self.text["vector"].shape[1]} dims'
        else:
            (_, words, dims), frames = self.text['tokens'].shape, self.video['tokens'].shape[1]
            kind = f'token-wise, {words} words, {frames} frames, {dims} dims'
        lost = 0 if self.lost is None else int(self.lost.sum())
        lost_note = f' ({lost} lost, never found)' if lost else ''
        return f'{len(self.captions)} captions, {len(self.video_ids)} videos{lost_note}; {kind}'


def _names(path: str | Path, header: Mapping[str, str], entry: str) -> list[str]:
    """A list of strings out of a file's header.

    Raises:
        ValueError: if it is not there or something else.
    """
    try:
        names = json.loads(header.get(entry, 'null'))
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f'retrieval: the header of {path} must list {entry} as a JSON list of strings, got '
            f'{header.get(entry, "nothing")[:60]!r}. Test again with TextVideoMetric(save=...).'
        )
    return names


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names and how many more there are."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(repr(name) for name in names[:most]) + more


def _check_finite(features: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Raise ValueError naming the items whose features are NaN or infinite."""
    for key, value in features.items():
        bad = [
            start + i
            for start in range(0, len(value), ITEMS)
            for i in (~value[start : start + ITEMS].isfinite().flatten(1).all(1)).nonzero()[:, 0]
        ]
        if bad:
            which = some([names[i] for i in bad])
            raise ValueError(
                f'retrieval: {key} features are NaN or infinite for {which}. '
                'Look for a diverged checkpoint, float16 overflow, or a broken video.'
            )
