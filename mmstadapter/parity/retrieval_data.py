"""Cases of retrieval data: which frames of a video, and which caption with which video."""

import io
import json
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module
from itertools import accumulate
from pathlib import Path

import numpy as np
from torch import Tensor

from mmstadapter import datasets

from .case import Line

CUTS = {0: 'first', 1: 'last', 2: 'even'}  # by `slice_framepos`
RULES = {1: 'every', 4: 'middle'}  # by `strategy`, in testing


class FrameSamplingCase:
    """Frame numbers of the released strategies 1, 3 and 4 against `SampleSpread`."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors

    def lines(self) -> Iterator[Line]:
        """A line a strategy: videos with other frames than ours; then where theirs fails."""
        strategies = self.tensors['strategy'].tolist()
        for strategy in sorted(set(strategies)):
            rows = [i for i, s in enumerate(strategies) if s == strategy]
            wrong = sum(not self._agrees(i) for i in rows)
            yield Line(f'strategy {strategy}: of {len(rows)} videos other frames', wrong, 0.0)
        failing = self.info.get('errors', [])
        wrong = sum(not self._works(setting) for setting in failing)
        yield Line(f'of {len(failing)} videos theirs fails on, ours too', wrong, 0.0)

    def _agrees(self, row: int) -> bool:
        setting = {k: int(self.tensors[k][row]) for k in self.tensors if self.tensors[k].ndim == 1}
        theirs = self.tensors['frames'][row][: setting['max_frames']].tolist()
        return sample(setting) == theirs and bool(self.tensors['mask'][row][: len(theirs)].all())

    @staticmethod
    def _works(setting: dict) -> bool:
        frames = sample(setting)
        ordered = frames == sorted(frames) and len(frames) == setting['max_frames']
        return ordered and 1 <= frames[0] and frames[-1] <= setting['n_frames']


def sample(setting: dict) -> list[int]:
    """Our frame numbers, counted from 1 as the stored ones are."""
    training = setting['strategy'] == 3
    step = datasets.SampleSpread(
        clip_len=setting['max_frames'],
        test_mode=not training,
        rule=RULES.get(setting['strategy'], 'every'),
        cut=CUTS[setting['slice_framepos']],
        short='first',
    )
    if training:
        np.random.seed(setting['seed'])
    indices = step(dict(total_frames=setting['n_frames'], start_index=1))['frame_inds']
    return indices.tolist()


class PairingCase:
    """Captions and videos of toy annotation files, through our preparation and data set.

    The files are written as the public ones, ``mmstadapter prepare`` runs on them, and
    `CaptionDataset` reads what it wrote.
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors

    def lines(self) -> Iterator[Line]:
        """Lines of the three data sets."""
        with tempfile.TemporaryDirectory() as folder:
            for name, lines in (
                ('msrvtt', self._msrvtt),
                ('msvd', self._msvd),
                ('vatex', self._vatex),
            ):
                root = Path(folder) / name
                (root / 'annotations').mkdir(parents=True)
                yield from lines(root, self.info['datasets'][name])

    def _msrvtt(self, root: Path, toy: dict) -> Iterator[Line]:
        notes, files = root / 'annotations', toy['files']
        (notes / 'MSRVTT_data.json').write_text(json.dumps(files['MSRVTT_data.json']))
        (notes / 'MSRVTT_train.9k.csv').write_text(files['train.csv'])
        (notes / 'MSRVTT_JSFUSION_test.csv').write_text(files['test.csv'])
        videos = [video['video_id'] for video in files['MSRVTT_data.json']['videos']]
        prepare('msrvtt', root, videos)
        # Theirs runs through the captions, ours through the videos; training shuffles.
        theirs = sorted(map(tuple, toy['train_expand']))
        yield differing('msrvtt, training pairs', sorted(pairs(root, 'train_9k')), theirs)
        items = len(pairs(root, 'train_9k', captions='random'))
        yield differing('msrvtt, items of one caption', items, toy['train_no_expand_len'])
        yield differing('msrvtt, test pairs', pairs(root, 'test_1k-a', test_mode=True), toy['test'])

    def _msvd(self, root: Path, toy: dict) -> Iterator[Line]:
        notes, files = root / 'annotations', toy['files']
        captions = files['raw-captions.pkl (pickled dict)']
        (notes / 'raw-captions.pkl').write_bytes(pickle.dumps(captions))
        for split in ('train', 'val', 'test'):
            (notes / f'{split}_list.txt').write_text('\n'.join(files[f'{split}_list.txt']))
        prepare('msvd', root, captions)
        yield from self._both('msvd', root, toy)

    def _vatex(self, root: Path, toy: dict) -> Iterator[Line]:
        notes, files = root / 'annotations', toy['files']
        captions = files['vatex_data/vatex_data.json']
        (notes / 'vatex_data.json').write_text(json.dumps(captions))
        (notes / 'test_list.txt').write_text('\n'.join(files['vatex_data/test_list.txt']))
        trained = list(dict.fromkeys(name for name, _ in toy['train']['samples']))
        for split in ('train', 'val'):
            (notes / f'{split}_list.txt').write_text('\n'.join(trained))
        lost = toy['missing_in_test'].split()[0]
        prepare('vatex', root, [name for name in captions if name != lost])
        yield from self._both('vatex', root, toy)

    def _both(self, name: str, root: Path, toy: dict) -> Iterator[Line]:
        """Pairs of both splits, and where each test video's captions end."""
        for split, test_mode in (('train', False), ('test', True)):
            ours = pairs(root, split, test_mode=test_mode)
            yield differing(f'{name}, {split} pairs', ours, toy[split]['samples'])
        data = dataset(root, 'test', test_mode=True)
        counts = [len(data.get_data_info(i)['captions']) for i in range(len(data))]
        theirs = self.tensors[f'{name}/test_cut_off_points'].tolist()
        yield differing(f'{name}, ends of captions', list(accumulate(counts)), theirs)


def prepare(name: str, root: Path, videos: list[str] | dict) -> None:
    """Run the preparation of a data set on folders of one frame each."""
    for video in videos:
        (root / 'frames' / video).mkdir(parents=True)
        (root / 'frames' / video / 'img_00001.jpg').touch()
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            import_module(f'mmstadapter.preparation.{name}').prepare(root, True, True)
    except SystemExit as error:
        raise RuntimeError(f'{name} failed on toy files: {said.getvalue()}{error}') from error


def dataset(root: Path, split: str, **options) -> datasets.CaptionDataset:
    """The data set of one list, without a pipeline."""
    return datasets.CaptionDataset(f'{split}.json', [], data_root=str(root), **options)


def pairs(root: Path, split: str, **options) -> list[tuple[str, str]]:
    """(video, caption) in the order of the data set."""
    data = dataset(root, split, **options)
    infos = [data.get_data_info(i) for i in range(len(data))]
    return [(info['video_id'], text) for info in infos for text in info['captions']]


def differing(name: str, ours, theirs) -> Line:
    """Whether two lists, or two numbers, are unequal: 1 or 0."""
    if isinstance(theirs, list):
        ours, theirs = ([tuple(x) if isinstance(x, list) else x for x in y] for y in (ours, theirs))
    return Line(f'{name}: unequal', float(ours != theirs), 0.0)
