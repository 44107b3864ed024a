"""Lists of videos with labels, in which some videos may turn out to be broken."""

import os.path as osp
from collections.abc import Sequence

import torch
from mmaction.datasets import VideoDataset as HostVideoDataset
from mmengine.dataset import Compose
from mmengine.fileio import exists

from ..base_classes import chosen_classes
from ..registry import CHILDREN
from .files import read_lines
from .fraction import balanced_fraction
from .repeated import RepeatedPipeline
from .replacement import ReplacesBadVideos


# MMAction2 has a class of this name: ours is in the registry of our scope only.
@CHILDREN['DATASETS'].register_module()
class VideoDataset(ReplacesBadVideos, HostVideoDataset):
    """MMAction2's VideoDataset, checked on loading, that survives broken videos and reports them.

    The annotation file holds ``path label`` a line (``path label label ...`` with
    ``multi_class``, just ``path`` in testing without labels), separated by ``delimiter``.

    A video that cannot be decoded (``VideoReadError``) is replaced: in training by another
    one, at random, with its label. In testing the sample keeps its place and gets a neighbour's
    frames, label -1 (all zeros with ``multi_class``) and ``lost_label``, its own, so that it
    never counts as right. Either way the sample's ``bad_videos`` lists (path, reason), which
    ``BadVideoHook`` collects.

    Args:
        ann_file: the list.
        pipeline: steps from ``filename`` and ``label`` to ``inputs`` and ``data_samples``.
        num_classes: labels are checked to lie in [0, num_classes) if given.
        fraction: share of each class's videos to use, see :func:`balanced_fraction`.
        fraction_seed: which ones; another seed makes another choice.
        base_classes: use the videos of these classes alone, ``'half'`` or numbers, see
            `chosen_classes`; needs ``num_classes``.
        num_sample: in training, so many clips of the same frames, each augmented on its own
            (repeated augmentation): an item is a list of that many samples then, and the loader
            needs ``collate_fn=dict(type='mmstadapter.flat_collate')``.
        kwargs: as for MMAction2's ``VideoDataset``.

    Raises:
        FileNotFoundError: no annotation file.
        ValueError: an annotation file that is empty or no text, or a wrong line, with its number;
            a fraction outside (0, 1], or with ``multi_class``; ``num_sample`` below 1, or in
            testing.
        RuntimeError: 11 videos in a row that cannot be decoded.
    """

    pipeline: Compose

    def __init__(
        self,
        ann_file: str,
        *args,
        fraction: float = 1.0,
        fraction_seed: int = 0,
        num_sample: int = 1,
        base_classes: str | Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        self.base_classes = base_classes
        self.fraction, self.fraction_seed = fraction, fraction_seed
        super().__init__(ann_file, *args, **kwargs)
        if num_sample < 1 or (num_sample > 1 and self.test_mode):
            raise ValueError(
                f'{type(self).__name__}: num_sample must be at least 1, and 1 in testing, got '
                f'{num_sample}. Views are for testing: num_views and num_crops of the steps.'
            )
        if self.multi_class:
            self._refuse_exchanged_labels()
        if num_sample > 1:
            self.pipeline = RepeatedPipeline(self.pipeline.transforms, num_sample)

    def _refuse_exchanged_labels(self) -> None:
        """MMAction2's ``Flip`` leaves several labels as they are, though it mirrors the clip."""
        for step in self.pipeline.transforms:
            if getattr(step, 'flip_label_map', None) and step.flip_ratio > 0:
                raise ValueError(
                    f'{type(self).__name__}: flip_label_map exchanges a single label, and '
                    'multi_class=True gives several, which would stay while the clip is mirrored. '
                    'Set flip_ratio=0 of the Flip step in the pipeline.'
                )

    def load_data_list(self) -> list[dict]:
        """``filename`` and ``label`` of each line."""
        if not exists(self.ann_file):
            hint = 'Set ann_file (and data_root) to a text file with a line "path label" a video.'
            if '{split}' in self.ann_file:
                hint = 'Call mmstadapter.config_fields.choose_split(cfg) before building from it.'
            name = type(self).__name__
            raise FileNotFoundError(f'{name}: no annotation file {self.ann_file}. {hint}')
        try:
            numbered = enumerate(read_lines(self.ann_file), start=1)
        except ValueError as error:
            raise ValueError(f'{type(self).__name__}: {error}') from None
        data_list = [self._parse(self._trim(line), n) for n, line in numbered if line.strip()]
        if not data_list:
            raise ValueError(f'{type(self).__name__}: annotation file {self.ann_file} is empty.')
        labels = (item['label'] for item in data_list)
        self.largest_label = max(max(n) if isinstance(n, list) else n for n in labels)
        return self._choose(data_list)

    def _choose(self, data_list: list[dict]) -> list[dict]:
        """What to use of the whole list."""
        if self.base_classes is not None:
            base = chosen_classes(self.base_classes, self.num_classes or 0)
            data_list = [item for item in data_list if item['label'] in base]
        return data_list if self.fraction == 1 else self._share(data_list)

    def _share(self, data_list: list[dict]) -> list[dict]:
        if self.multi_class:
            raise ValueError(
                'VideoDataset: fraction takes the same share of each class, which videos with '
                'several classes do not have. Set fraction=1, or use a shorter annotation file.'
            )
        root = self.data_prefix['video'] or ''
        names = [osp.relpath(item['filename'], root or '.') for item in data_list]
        labels = [item['label'] for item in data_list]
        chosen = balanced_fraction(names, labels, self.fraction, self.fraction_seed)
        return [data_list[index] for index in chosen]

    def _trim(self, line: str) -> str:
        """Without what cannot belong to a name: delimiters at the end, spaces between columns."""
        return line.strip(' \t') if self.delimiter in (None, ' ') else line.rstrip(self.delimiter)

    def _parse(self, line: str, number: int) -> dict:
        filename, *labels = line.split(self.delimiter)
        wanted = 'one label or more' if self.multi_class else 'one label'
        if not labels and self.test_mode and not self.multi_class:
            numbers = [-1]  # as MMAction2: a list without labels, for inference
        else:
            if not labels or (len(labels) > 1 and not self.multi_class):
                raise self._wrong(line, number, f'needs a path and {wanted}')
            try:
                numbers = [int(label) for label in labels]
            except ValueError:
                raise self._wrong(line, number, 'has a label that is no whole number') from None
            if any(n < 0 or n >= (self.num_classes or n + 1) for n in numbers):
                upper = self.num_classes or '...'
                raise self._wrong(line, number, f'has a label outside [0, {upper})')
        if self.data_prefix['video'] is not None:
            filename = osp.join(self.data_prefix['video'], filename)
        return dict(filename=filename, label=numbers if self.multi_class else numbers[0])

    def _wrong(self, line: str, number: int, reason: str) -> ValueError:
        return ValueError(
            f'{type(self).__name__}: line {number} of {self.ann_file} {reason} (delimiter '
            f'{self.delimiter!r}): {line[:200]!r}'
        )

    def lose(self, info: dict) -> None:
        """A label that nothing can match."""
        info['label'] = torch.zeros_like(info['label']) if self.multi_class else -1

    def notes(self, info: dict) -> dict:
        """The item's own label."""
        return dict(lost_label=info['label'])

    def _note(self, sample, bad: list[tuple[str, str]], idx: int) -> None:
        """Let the bad videos travel with the sample, or with the first of several copies."""
        super()._note(sample[0] if isinstance(sample, list) else sample, bad, idx)
