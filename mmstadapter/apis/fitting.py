"""The steps of `mmstadapter fit`: prepare a work dir, train and test there, write what came out."""

import hashlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from .. import launch, shipped
from ..engine.tuned_checkpoint import write_adapter
from .own_videos import Video, VideoFolder, write_list
from .recipe import ARCHS, TRAINING, Recipe, clip_length, config_text
from .results import write_results

CONFIG, ADAPTER = 'recipe.py', 'adapter.safetensors'


@dataclass
class Fit:
    """A prepared work dir.

    Attributes:
        folder: the videos.
        work_dir: where everything is written.
        parts: the videos of 'train' and 'val'.
        bad: the videos that cannot be used.
        recipe: how to train.
        options: KEY=VALUE settings passed on to `train` and `test`.
    """

    folder: VideoFolder
    work_dir: Path
    parts: dict[str, list[Video]]
    bad: list[Video]
    recipe: Recipe
    options: list[str]

    @property
    def last(self) -> Path:
        """The file that names the last checkpoint; there once an epoch is done."""
        return self.work_dir / TRAINING / 'last_checkpoint'

    @classmethod
    def prepare(
        cls,
        root: str | Path,
        work_dir: str | Path | None = None,
        arch: str | None = None,
        checkpoint: str | None = None,
        base: str | None = None,
        val_fraction: float = 0.2,
        seed: int = 0,
        every_frame: bool = False,
        num_workers: int | None = None,
        options: list[str] | None = None,
        **given: Any,
    ) -> 'Fit':
        """Look at the videos, choose the recipe, write lists and config.

        Args:
            root: folder of class folders, see :class:`VideoFolder`.
            work_dir: ./work_dirs/fit_<name of root> if None.
            arch: a key of ``ARCHS``; ``'vit-b-p16'`` if neither it nor ``base`` is given.
            checkpoint: path or known name of the trunk's weights; those of ``arch`` if None.
            base: a config to inherit instead of the one for ``arch``.
            val_fraction, seed: see :meth:`VideoFolder.split`.
            every_frame: decode every frame of every video in the check.
            num_workers: data-loading processes; the number of cores up to 8 if None.
            options: KEY=VALUE settings of the config.
            given: ``batch_size``, ``epochs``, ``lr``, ``sampling`` instead of the rule's.

        Raises:
            ValueError, FileNotFoundError: videos, options or config that do not fit together;
                a work dir that holds another training.
        """
        folder = VideoFolder(root)
        cores = len(os.sched_getaffinity(0))
        base_name, trunk, max_batch = _choose_base(arch, checkpoint, base)
        work_dir = Path(work_dir or Path('work_dirs') / f'fit_{folder.root.name}').resolve()
        work_dir.mkdir(parents=True, exist_ok=True)
        base_config = Config.fromfile(
            shipped.config(base_name) if base_name.startswith(shipped.PREFIX) else base_name
        )
        bad = folder.check(every_frame, num_threads=cores)
        lines = [f'{video.path}\t{video.reason}' for video in bad]
        (work_dir / 'bad_videos.txt').write_text(''.join(f'{line}\n' for line in lines))
        parts = folder.split(val_fraction, seed)
        recipe = Recipe.choose(parts['train'], folder.labels, base_config, max_batch, **given)
        text = config_text(
            recipe, base_name, base_config, trunk, folder.root, work_dir, folder.labels,
            min(8, cores) if num_workers is None else num_workers, options,
        )  # fmt: skip
        fit = cls(folder, work_dir, parts, bad, recipe, list(options or []))
        fit._write(text)
        config = fit.config()
        clip_length(config)
        _refuse_other_classes(config, len(folder.labels))
        return fit

    def _write(self, text: str) -> None:
        """Lists, label names and config, unless another training lies there."""
        lists = [[f'{v.path} {v.label}' for v in self.parts[part]] for part in ('train', 'val')]
        inputs = json.dumps([text, lists, self.options])
        digest, note = hashlib.sha256(inputs.encode()).hexdigest(), self.work_dir / 'inputs.sha256'
        if self.last.is_file() and (not note.is_file() or note.read_text() != digest):
            raise ValueError(
                f'{self.work_dir} holds a training on other videos or with other settings. Give '
                'another --work-dir, or remove it.'
            )
        note.write_text(digest)
        for part in ('train', 'val'):
            write_list(self.work_dir / f'{part}.txt', self.parts[part])
        (self.work_dir / 'labels.txt').write_text('\n'.join(self.folder.labels) + '\n')
        (self.work_dir / CONFIG).write_text(text, encoding='utf-8')

    def config(self) -> Config:
        """The written config with the options merged in."""
        path = str(self.work_dir / CONFIG)
        args = Namespace(config=path, launcher='none', work_dir=None, cfg_options=self.options)
        return launch.read_config(args)

    def describe(self) -> str:
        """What was found and chosen, in lines."""
        train, val = (len(self.parts[part]) for part in ('train', 'val'))
        seen = {video.label for video in self.parts['val']}
        lines = [f'{len(self.folder.labels)} classes: {train} videos to train on, {val} to test']
        unseen = [name for i, name in enumerate(self.folder.labels) if i not in seen]
        if unseen:
            lines.append(f'none to test of: {", ".join(unseen)}')
        fewest = min(Counter(video.label for video in self.parts['train']).values())
        if fewest < 5:
            lines.append(f'a class has only {fewest} to train on: expect little of it')
        if self.bad:
            lines.append(f'{len(self.bad)} cannot be read and are left out (bad_videos.txt):')
            lines += [f'  {video.path}: {video.reason}' for video in self.bad[:20]]
        return '\n'.join([*lines, *self.recipe.reasons, f'config: {self.work_dir / CONFIG}'])

    def commands(self) -> dict[str, list[str]]:
        """The package's commands that train and test, as they are called."""
        config = str(self.work_dir / CONFIG)
        options = ['--cfg-options', *self.options] if self.options else []
        checkpoint = self.last.read_text().strip() if self.last.is_file() else '<last checkpoint>'
        dump = ['--dump', str(self.work_dir / 'predictions.pkl')]
        test = [*_command('test'), config, checkpoint, '--work-dir', str(self.work_dir / 'test')]
        return dict(
            train=[*_command('train'), config, '--resume', *options],
            test=[*test, *dump, *options],
        )

    def run(self) -> dict[str, Any]:
        """Train (or go on with it), test, and write adapter, confusion matrix and mistakes.

        Returns:
            The summary that ``confusion.json`` holds.

        Raises:
            RuntimeError: if a command fails; its own message is above.
        """
        for name in ('train', 'test'):
            done = subprocess.run(self.commands()[name])
            if done.returncode:
                raise RuntimeError(
                    f'mmstadapter fit: {name} ended with status {done.returncode}; the reason is '
                    f'above and in the log below {self.work_dir}.'
                )
        self.write_adapter()
        return self.write_results()

    def write_adapter(self) -> Path:
        """The portable file of the last checkpoint, with the label names."""
        config, out = self.config(), self.work_dir / ADAPTER
        init_default_scope('mmaction')
        model = MODELS.build(config.model)
        last = self.last.read_text().strip()
        load_checkpoint(model, last, map_location='cpu', strict=True)
        write_adapter(out, model, config, labels=self.folder.labels)
        return out

    def write_results(self) -> dict[str, Any]:
        """Confusion matrix and mistakes of the predictions that the test dumped."""
        found = load(self.work_dir / 'predictions.pkl')
        videos = self.parts['val']
        if len(found) != len(videos):
            raise ValueError(
                f'mmstadapter fit: {len(found)} predictions for {len(videos)} videos of val.txt. '
                'Run it again without other processes writing to the work dir.'
            )
        scores = torch.stack([sample['pred_score'].float() for sample in found]).numpy()
        own = np.array([int(sample['gt_label']) for sample in found])
        bad = np.flatnonzero(own < 0).tolist()
        names, root = self.folder.labels, self.folder.root
        return write_results(videos, scores, names, root, self.work_dir, bad)


def _choose_base(
    arch: str | None, checkpoint: str | None, base: str | None
) -> tuple[str, dict[str, Any], int]:
    """Config to inherit, changed fields of its trunk, most clips a step."""
    if checkpoint is not None and Path(checkpoint).is_file():
        checkpoint = str(Path(checkpoint).resolve())
    if base is not None:
        if arch is not None:
            raise ValueError('mmstadapter fit: --arch chooses a base config; give one of both.')
        is_path = not base.startswith(shipped.PREFIX)
        name = str(Path(shipped.find_config(base)).resolve()) if is_path else base
        return name, dict(checkpoint=checkpoint) if checkpoint else {}, 32
    arch = arch or 'vit-b-p16'
    if arch not in ARCHS:
        raise ValueError(f'mmstadapter fit: arch must be one of {list(ARCHS)}, got {arch!r}.')
    name, known, max_batch = ARCHS[arch]
    return name, dict(arch=arch, checkpoint=checkpoint or known), max_batch


def _refuse_other_classes(config: Config, count: int) -> None:
    given = config.model.cls_head.get('num_classes')
    if given != count:
        raise ValueError(
            f'mmstadapter fit: the folder has {count} classes, but model.cls_head.num_classes is '
            f'{given}. Leave it to the recipe.'
        )


def _command(name: str) -> list[str]:
    return [sys.executable, '-m', 'mmstadapter', name]
