"""Videos with their captions, for text-video retrieval."""

import json
import os.path as osp
import random
import re
from collections import Counter

from mmaction.datasets import BaseActionDataset
from mmaction.registry import DATASETS
from mmengine.fileio import exists, get_text

from .replacement import ReplacesBadVideos

TRAINING = ('each', 'random')
SHOWN = 3
HALF_A_PAIR = re.compile('[\ud800-\udfff]')  # json may hold it, no file in UTF-8 can


@DATASETS.register_module()
class CaptionDataset(ReplacesBadVideos, BaseActionDataset):
    """Captioned videos: one caption an item in training, one video an item in testing.

    The annotation file is one json object, video by video: ``{"path": ["caption", ...], ...}``,
    paths relative to ``data_prefix``; ``mmstadapter prepare {msrvtt,msvd,vatex,didemo}`` writes
    it from the public files. A path names a video file, or a folder of frames if the pipeline has
    ``VideoInit(filename_tmpl='img_{:05}.jpg')``; with ``start_index=1`` for files from 1 on.

    An item has ``filename``, ``video_id`` (the path in the list) and ``captions``, a list: in
    training of one caption, in testing of all captions of the video. Captions stay strings.

    A video that cannot be decoded is replaced, see :class:`ReplacesBadVideos`. In testing it
    keeps its place with its captions, a neighbour's frames and ``lost=True``, by which
    ``TextVideoMetric`` counts it as never found.

    Args:
        ann_file: the json file.
        pipeline: steps from the item to ``inputs`` and ``data_samples``; the packing step needs
            ``meta_keys=('video_id', 'captions')``.
        captions: in training, ``'each'`` makes an item of every caption of a video (so an epoch
            shows every caption), ``'random'`` one item of every video, with one of its captions
            at random, another in each epoch.
        kwargs: as for MMAction2's data sets: ``data_root``, ``data_prefix=dict(video=...)``,
            ``test_mode``, ``start_index`` ...

    Raises:
        FileNotFoundError: no annotation file.
        ValueError: another form, no video, a path that occurs twice, a video without captions,
            an empty caption, one that is not text; names the videos.
        RuntimeError: 11 videos in a row that cannot be decoded.
    """

    def __init__(self, ann_file: str, pipeline: list, captions: str = 'each', **kwargs) -> None:
        if captions not in TRAINING:
            raise ValueError(
                f'CaptionDataset: captions must be one of {TRAINING}, got {captions!r}.'
            )
        self.captions = captions
        kwargs.setdefault('data_prefix', dict(video=''))
        super().__init__(ann_file, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict]:
        """``filename``, ``video_id`` and ``captions`` of each item."""
        items = []
        for name, texts in read_captions(self.ann_file).items():
            filename = osp.join(self.data_prefix.get('video') or '', name)
            one_each = self.captions == 'each' and not self.test_mode
            for part in [[text] for text in texts] if one_each else [texts]:
                items.append(dict(filename=filename, video_id=name, captions=part))
        return items

    def get_data_info(self, idx: int) -> dict:
        """The item, with one of its captions in training."""
        info = super().get_data_info(idx)
        if not self.test_mode:
            info['captions'] = [random.choice(info['captions'])]
        return info

    def notes(self, info: dict) -> dict:
        """That the frames are another video's."""
        return dict(lost=True)


def read_captions(path: str) -> dict[str, list[str]]:
    """Captions of each video of an annotation file, in its order, checked.

    Raises:
        FileNotFoundError, ValueError: as :class:`CaptionDataset`.
    """
    if not exists(path):
        raise FileNotFoundError(
            f'CaptionDataset: no annotation file {path}. Set ann_file (and data_root) to a json '
            'file {"video path": ["caption", ...]}; `mmstadapter prepare DATASET` writes it.'
        )
    try:
        content = get_text(path, encoding='utf-8-sig')  # with or without a byte order mark
        videos = json.loads(content, object_pairs_hook=_without_duplicates(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'CaptionDataset: {path} is no json file: {error}') from None
    if not isinstance(videos, dict) or not all(map(_is_list_of_texts, videos.values())):
        raise ValueError(
            f'CaptionDataset: {path} must hold {{"video path": ["caption", ...], ...}}.'
        )
    if not videos:
        raise ValueError(f'CaptionDataset: {path} holds no video.')
    _refuse(path, 'have no caption', [name for name, texts in videos.items() if not texts])
    blank = [name for name, texts in videos.items() if not all(t.strip() for t in texts)]
    _refuse(path, 'have an empty caption', blank)
    broken = [name for name, texts in videos.items() if any(map(HALF_A_PAIR.search, texts))]
    _refuse(path, 'have a caption with half a character (a lone UTF-16 surrogate)', broken)
    return videos


def _is_list_of_texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _without_duplicates(path: str):
    def make(pairs: list[tuple]) -> dict:
        times = Counter(name for name, _ in pairs)
        twice = [name for name, count in times.items() if count > 1]
        _refuse(path, 'are listed more than once', twice)
        return dict(pairs)

    return make


def _refuse(path: str, what: str, names: list[str]) -> None:
    if names:
        shown = ', '.join(names[:SHOWN]) + (' ...' if len(names) > SHOWN else '')
        raise ValueError(
            f'CaptionDataset: {len(names)} videos of {path} {what}: {shown}. Correct the file, or '
            'write it again by `mmstadapter prepare DATASET`.'
        )
