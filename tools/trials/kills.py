"""Runs that are killed: does going on give what an undisturbed run gives?

Each case starts a command on the toy world and kills it with everything it started, at a random
moment or, every other time, within a random change of a file. Then the command is given again.
"""

import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

import mmstadapter

from .outcome import Outcome, call, finish, kill, of_error, start, trying
from .toy import use_world, write_world

LIMIT = 170.0  # seconds of the run that goes on; the case's own limit comes after
LOOK = 0.0003  # seconds between looks at the files


class Run(NamedTuple):
    """A command: how it begins, how it goes on, and what it leaves.

    Attributes:
        begin: arguments from the world and the folder to write to.
        again: what is added to go on.
        result: what must be the same, from the world and that folder.
    """

    begin: Callable[[Path, Path], list]
    again: tuple[str, ...]
    result: Callable[[Path, Path], object]


def digest(tensors: dict) -> str:
    """A fingerprint of named tensors."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return whole.hexdigest()


def trained(world: Path, out: Path) -> object:
    """Weights of the last and the best epoch, and which they are."""
    last = Path((out / 'last_checkpoint').read_text().strip())
    found = {}
    for path in sorted(out.glob('*.pth')):
        state = torch.load(path, map_location='cpu', weights_only=False)['state_dict']
        found[path.name] = digest(state)
    return [last.name, found]


def fitted(world: Path, out: Path) -> object:
    """The adapter and the confusion matrix."""
    counts = json.loads((out / 'confusion.json').read_text())['counts']
    return [counts, digest(load_file(out / 'adapter.safetensors'))]


def hits(world: Path, out: Path) -> object:
    """All that a search finds, with scores."""
    found = mmstadapter.VideoSearch(out, device='cpu')('a bright video', topk=100)
    return sorted([hit.video, hit.start, hit.end, round(hit.score, 5)] for hit in found)


def tensors_of(world: Path, out: Path) -> object:
    """The tensors of a file that appears whole or not at all."""
    return digest(load_file(out / 'out.safetensors'))


def dumped(world: Path, out: Path) -> object:
    """The predictions of a test."""
    found = pickle.loads((out / 'found.pkl').read_bytes())
    return [[round(float(x), 5) for x in sample['pred_score']] for sample in found]


def table(world: Path, out: Path) -> object:
    """The lines of a check, without the day."""
    lines = (out / 'list.txt.checked.jsonl').read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != 'on'} for line in lines]


def _checked(world: Path, out: Path) -> list:
    out.mkdir(exist_ok=True)
    (out / 'list.txt').write_bytes((world / 'list.txt').read_bytes())
    return ['check', out / 'list.txt', '--root', world / 'videos']


RUNS = {
    'train': Run(lambda w, o: ['train', w / 'toy.py', '--work-dir', o], ('--resume',), trained),
    'index': Run(
        lambda w, o: (
            ['index', w / 'videos', '--index', o, '--config', w / 'search.py']
            + ['--device', 'cpu', '--seconds', 0.5]
        ),
        (),
        hits,
    ),
    'fit': Run(
        lambda w, o: (
            ['fit', w / 'videos', '--work-dir', o, '--base', w / 'toy.py', '--checkpoint']
            + [w / 'clip.safetensors', '--num-workers', 0, '--epochs', 2, '--batch-size', 2]
        ),
        (),
        fitted,
    ),
    'test': Run(
        lambda w, o: (
            ['test', w / 'toy.py', w / 'run/epoch_2.pth', '--work-dir', o]
            + ['--dump', o / 'found.pkl']
        ),
        (),
        dumped,
    ),
    'publish': Run(
        lambda w, o: ['publish', w / 'toy.py', w / 'run/epoch_2.pth', o / 'out.safetensors'],
        ('--force',),
        tensors_of,
    ),
    'convert': Run(
        lambda w, o: (
            ['convert', '--from', 'openai-clip', '--to', 'hf-clip']
            + [w / 'clip.safetensors', o / 'out.safetensors']
        ),
        ('--force',),
        tensors_of,
    ),
    'check': Run(_checked, (), table),
}
ORDER = ('train', 'index', 'train', 'publish', 'train', 'check', 'train', 'convert', 'train', 'fit',
         'train', 'index', 'train', 'test')  # fmt: skip


def prepare(work: Path) -> None:
    """The toy world, and of each command an undisturbed run: seconds, file changes, result."""
    work.mkdir(parents=True)
    write_world(work)
    use_world(work)
    for name, run in RUNS.items():
        out = work / f'undisturbed-{name}'
        out.mkdir()
        begun = time.monotonic()
        child = start(partial(call, *run.begin(work, out)), work / f'said-{name}')
        count = sum(1 for _ in changes(out, child))
        seconds = time.monotonic() - begun
        if finish(child, 1) != 0 or not count:
            said = (work / f'said-{name}' / 'said.txt').read_text(errors='replace')
            raise RuntimeError(f'{name} fails undisturbed:\n{said[-2000:]}')
        facts = dict(seconds=seconds, changes=count, result=run.result(work, out))
        (work / f'{name}.json').write_text(json.dumps(facts))


def changes(folder: Path, child: int) -> Iterator[None]:
    """One item for every change of a file below a folder, as long as a process lives."""
    before: dict[str, tuple[int, int]] = {}
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        now = dict(_states(str(folder)))
        for path in now.keys() | before.keys():
            if now.get(path) != before.get(path):
                yield
        before = now
        time.sleep(LOOK)


def _states(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from _states(entry.path)
            else:
                state = entry.stat(follow_symlinks=False)
                yield entry.path, (state.st_size, state.st_mtime_ns)
    except FileNotFoundError:
        return


def case(seed: int, work: Path, number: int, folder: Path) -> Outcome:
    """One kill, then the same command again."""
    rng = np.random.default_rng([seed, number])
    name = ORDER[number % len(ORDER)]
    run, facts = RUNS[name], json.loads((work / f'{name}.json').read_text())
    out = folder / 'out'
    out.mkdir()
    child = start(partial(call, *run.begin(work, out)), folder / 'first')
    if number % 2:
        change = int(rng.integers(facts['changes']))
        tried = trying(f'{name}, killed at change {change} of {facts["changes"]} of its files')
        next((n for n, _ in enumerate(changes(out, child)) if n == change), None)
        time.sleep(rng.uniform(0, 0.002))
    else:
        moment = rng.uniform(0, facts['seconds'])
        tried = trying(f'{name}, killed after {moment:.1f} of {facts["seconds"]:.1f} s')
        time.sleep(moment)
    kill(child)
    os.waitpid(child, 0)
    try:
        broken = left_half(run, work, out, facts['result'])
        if broken:
            return Outcome('silent', tried, broken)
        call(*run.begin(work, out), *run.again)
        result = json.loads(json.dumps(run.result(work, out)))
    except Exception as error:
        return of_error(error, tried)
    same = result == facts['result']
    return Outcome('right' if same else 'silent', tried, '' if same else _difference(result, facts))


def left_half(run: Run, work: Path, out: Path, result: object) -> str:
    """Whether a file lies under its final name without being whole."""
    if run.result is not tensors_of or not (out / 'out.safetensors').exists():
        return ''
    try:
        return '' if tensors_of(work, out) == result else 'another file under its final name'
    except Exception as error:
        return f'half a file under its final name: {error}'


def _difference(result: object, facts: dict) -> str:
    return f'{str(result)[:250]} instead of {str(facts["result"])[:250]}'
