"""Mutated weights, adapters, indexes, lists: is what is read right, or a sentence?"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from safetensors.torch import load_file

import mmstadapter
from mmstadapter.launch import load_model

from .damage import INJURIES
from .kills import digest, hits
from .outcome import Outcome, call, of_error, trying
from .toy import use_world, write_world

Found = Callable[[Path, Path], object]


def prepare(work: Path) -> None:
    """The toy world, with files of every kind, and what is read from each."""
    work.mkdir(parents=True)
    write_world(work)
    use_world(work)
    torch.save(load_file(work / 'clip.safetensors'), work / 'clip.pth')
    captions = {f'{"up down".split()[n % 2]}/{n}.mp4': [f'a video {n}', 'moves'] for n in range(6)}
    (work / 'captions.json').write_text(json.dumps(captions, indent=0))
    for name, (path, read) in KINDS.items():
        (work / f'{name}.result').write_text(json.dumps(read(work, work / path)))


def tuned(work: Path, path: Path) -> object:
    """A checkpoint by the door of testing and analysis."""
    config = Config.fromfile(work / 'toy.py')
    return digest(load_model(config, str(path), 'cpu').state_dict())


def resumed(work: Path, path: Path) -> object:
    """A checkpoint that training goes on from."""
    out = path.parent / 'out'
    call('train', work / 'toy.py', '--work-dir', out, '--resume', path)
    return digest(torch.load(out / 'epoch_2.pth', weights_only=False)['state_dict'])


def trunk(work: Path, path: Path) -> object:
    """A trunk's pretrained file, under an adapter that was trained on it."""
    config = Config.fromfile(work / 'toy.py')
    config.model.backbone.trunk.checkpoint = str(path)
    return digest(load_model(config, str(work / 'run/epoch_2.pth'), 'cpu').state_dict())


def adapter(work: Path, path: Path) -> object:
    """An adapter file, by what it predicts."""
    predict = mmstadapter.Predictor(path, device='cpu')
    (found,) = predict([work / 'videos/up/0.mp4'])
    return [found['labels'], found['scores']]


def index(work: Path, path: Path) -> object:
    """A file of an index, by what a search finds."""
    return hits(work, path.parent)


def labels(work: Path, path: Path) -> object:
    """An annotation list, by its items."""
    config = Config.fromfile(work / 'toy.py').train_dataloader.dataset
    config.ann_file = str(path)
    return _items(DATASETS.build(config), 'label')


def captions(work: Path, path: Path) -> object:
    """A json file of captions, by its items."""
    config = dict(
        type='mmstadapter.CaptionDataset', ann_file=str(path), pipeline=[], test_mode=True
    )
    return _items(DATASETS.build(config), 'captions')


def _items(data, field: str) -> list:
    items = map(data.get_data_info, range(len(data)))
    return [[Path(item['filename']).name, item[field]] for item in items]


KINDS: dict[str, tuple[str, Found]] = {
    'tuned checkpoint': ('run/epoch_2.pth', tuned),
    'adapter file': ('adapter.safetensors', adapter),
    'column of an index': ('index/vector-000001.column', index),
    'trunk, safetensors': ('clip.safetensors', trunk),
    'checkpoint to resume': ('run/epoch_1.pth', resumed),
    'manifest of an index': ('index/index.json', index),
    'annotation list': ('list.txt', labels),
    'trunk, pth': ('clip.pth', trunk),
    'captions': ('captions.json', captions),
}


def case(seed: int, work: Path, number: int, folder: Path) -> Outcome:
    """One injury to a file, which is then read as a user reads it."""
    init_default_scope('mmaction')
    rng = np.random.default_rng([seed, number])
    name = list(KINDS)[number % len(KINDS)]
    place, read = KINDS[name]
    injure = INJURIES[int(rng.integers(len(INJURIES)))]
    tried = trying(f'{name}: {injure.__name__}')
    path = folder / 'copy' / Path(place).name
    shutil.copytree((work / place).parent, path.parent) if 'index' in place else path.parent.mkdir()
    content = bytearray((work / place).read_bytes())
    injure(content, rng)
    path.write_bytes(content)
    try:
        result = json.loads(json.dumps(read(work, path)))
    except Exception as error:
        return of_error(error, tried)
    if result == json.loads((work / f'{name}.result').read_text()) or read in (labels, captions):
        return Outcome('right', tried)  # a list says what it says: only that it is read counts
    return Outcome('silent', tried, f'{str(result)[:300]}')
