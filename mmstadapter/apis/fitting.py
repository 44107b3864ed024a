"""The steps of `mmstadapter fit`: prepare a work dir, train and test there, write what came out."""

import hashlib
import json
import os
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope

from .. import launch
from ..analysis.predictions import read_predictions
from ..datasets.files import in_numbers, is_text, write_lines
from ..engine.tuned_checkpoint import write_adapter
from ..printing import shown
from ..progress import Progress
from .bases import MAX_BATCH, Base, at_hand
from .building import build_model
from .capacity import choose_capacity
from .device import choose_device
from .estimate import estimate
from .feature_clips import Keeping
from .features import FeaturePlan, refuse_unfit
from .finished import ADAPTER, RESULTS, work_dir_of
from .mirroring import Mirror, decide
from .none_of_these import calibrated
from .own_videos import Video, VideoFolder, write_list
from .pipelines import clip_length
from .recipe import TRAINING, Recipe, config_text, names_a_side
from .results import share_of_largest, write_results
from .showing import run_shown
from .writing import config_file

CONFIG = 'recipe.py'
PREDICTIONS = 'predictions.pkl'  # of the test
VALIDATION = 'validation'  # .py and .pkl: of the validation set, where another one is tested
WITH_FEATURES = 'features.py'  # the same, which reads kept features
LOADERS = ('train_dataloader', 'val_dataloader')
OF_CLIPS = tuple(f'{name}.dataset.{key}' for name in LOADERS for key in ('pipeline', 'steps'))


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
        keeping: where features are kept, None if they are not.
    """

    BASE: ClassVar[type[Base]] = Base
    RESULTS: ClassVar[tuple[str, ...]] = RESULTS
    folder: VideoFolder
    work_dir: Path
    parts: dict[str, list[Video]]
    bad: list[Video]
    recipe: Recipe
    options: list[str]
    keeping: Keeping | None = None

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
        method: str | None = None,
        layout: str = 'auto',
        mirror: bool | None = None,
        fetch: bool = False,
        videos: str | Path | None = None,
        features: bool | str | None = None,
        feature_copies: int = 4,
        exact_features: bool = False,
        **given: Any,
    ) -> Self:
        """Look at the videos, choose the recipe, write lists and config.

        Args:
            root: folder of class folders, see :class:`VideoFolder`, or a list of captions.
            work_dir: ./work_dirs/fit_<name of root> if None.
            arch, method, checkpoint, base: see :class:`Base`.
            val_fraction, seed: see :meth:`VideoFolder.split`.
            every_frame: decode every frame of every video in the check.
            num_workers: data-loading processes; the number of cores up to 8 if None.
            options: KEY=VALUE settings of the config.
            layout: see :class:`VideoFolder`.
            mirror: whether training mirrors clips; measured if None, see :func:`decide`.
            fetch: download the trunk's weights now if they are not here.
            videos: the folder that a list of captions starts from.
            features: keep what the frozen trunk makes of the clips, in this folder or, if True,
                in one of the work dir.
            feature_copies: augmented clips of each training video then.
            exact_features: do not round them to float16.
            given: ``batch_size``, ``epochs``, ``lr``, ``sampling`` instead of the rule's.

        Raises:
            ValueError, FileNotFoundError, RuntimeError: videos, options, weights or config that
                do not fit together; a work dir that holds another training.
        """
        init_default_scope('mmaction')
        chosen = cls.BASE.choose(arch, method, checkpoint, base)
        chosen.require_libraries()
        chosen.require_weights(launch.parse_options(options or []), fetch)
        if features:
            refuse_unfit(chosen.model(launch.parse_options(options or [])))
        folder, work_dir = cls.find(root, layout, videos), work_dir_of(root, work_dir)
        cls.refuse_work_dir(work_dir, folder)
        keeping = Keeping.of(features, work_dir, feature_copies, exact_features)
        if not is_text(str(work_dir)):
            raise ValueError(
                f'mmstadapter fit: the work dir {shown(str(work_dir))} is no text in UTF-8, which '
                'checkpoints note it in. Give another --work-dir.'
            )
        cores = len(os.sched_getaffinity(0))
        with Progress('videos checked', sum(map(len, folder.parts.values()))) as bar:
            bad = folder.check(every_frame, num_threads=cores, step=bar.done)
        parts = folder.split(val_fraction, seed)
        recipe = cls.choose_recipe(parts['train'], folder, chosen, **given)
        workers = min(8, cores) if num_workers is None else num_workers
        fit = cls(folder, work_dir, parts, bad, recipe, list(options or []), keeping)
        config = fit.read(fit.text(chosen, workers))
        clip_length(config)
        fit.refuse_others(config)
        work_dir.mkdir(parents=True, exist_ok=True)
        fit.take_what_fits(config, chosen, given)
        fit.recipe.flip, why = fit.choose_mirror(config, mirror, fetch)
        fit.recipe.reasons.append(why)
        fit._write(fit.text(chosen, workers))
        return fit

    @staticmethod
    def find(root: str | Path, layout: str, videos: str | Path | None) -> VideoFolder:
        """What is to be trained on."""
        if videos is not None:
            raise ValueError(
                'mmstadapter fit: --videos is the folder that the paths of a CSV with captions '
                f'start from, and {root} is a folder. Leave it out.'
            )
        return VideoFolder(root, layout)

    @staticmethod
    def refuse_work_dir(work_dir: Path, folder: VideoFolder) -> None:
        """Raise if it would lie among the videos, as another class."""
        if work_dir.is_relative_to(folder.root):
            raise ValueError(
                f'mmstadapter fit: the work dir {work_dir} would lie among the class folders. Give '
                '--work-dir a folder elsewhere, or call it from another folder.'
            )

    @staticmethod
    def choose_recipe(videos: list[Video], folder: VideoFolder, base: Base, **given: Any) -> Recipe:
        """How to train on some of the folder's videos."""
        most = MAX_BATCH if torch.cuda.is_available() else base.max_batch
        recipe = Recipe.choose(videos, folder.labels, base.config, most, (False, ''), **given)
        recipe.reasons += base.notes
        return recipe

    def refuse_others(self, config: Config) -> None:
        """Raise if options make it the recipe of another data set."""
        given, count = config.model.cls_head.get('num_classes'), len(self.folder.labels)
        if given != count:
            raise ValueError(
                f'mmstadapter fit: the folder has {count} classes, but model.cls_head.num_classes '
                f'is {given}. Leave it to the recipe.'
            )

    def text(self, base: Base, num_workers: int) -> str:
        """The config that trains the recipe."""
        return config_text(
            self.recipe, base.name, base.config, base.trunk, self.folder.root, self.work_dir,
            self.folder.labels, num_workers, self.options, base.head,
            'test' if 'test' in self.parts else 'val', bool(base.notes),
        )  # fmt: skip

    def take_what_fits(self, config: Config, base: Base, given: dict[str, Any]) -> None:
        """Recompute more, or take fewer clips a step, where the device's memory is short."""
        is_given = given.get('batch_size') is not None or any(
            option.startswith('train_dataloader.batch_size=') for option in self.options
        )
        note = self.work_dir / 'memory.json'
        found = choose_capacity(config, choose_device(), is_given, note)
        if not is_given and found.batch_size != self.recipe.batch_size:
            given = given | dict(batch_size=found.batch_size)
            self.recipe = self.choose_recipe(self.parts['train'], self.folder, base, **given)
        self.recipe.recompute = found.recompute
        self.recipe.reasons += [found.reason] if found.reason else []

    def choose_mirror(self, config: Config, wanted: bool | None, fetched: bool) -> Mirror:
        """Whether to mirror: as told, as the classes' names tell, or as a few clips tell."""
        if wanted is not None:
            return Mirror(wanted, f'{"" if wanted else "no "}mirroring: as told')
        if why := names_a_side(self.folder.labels):
            return Mirror(False, why)
        if not (fetched or at_hand(config.model.backbone.get('trunk', {}).get('checkpoint'))):
            return Mirror(False, 'no mirroring so far: it is tried when the weights are here')
        note = self.work_dir / 'mirroring.json'
        return decide(config, self.parts['train'], self.folder.labels, note)

    def _write(self, text: str) -> None:
        """Lists, label names and config, unless another training lies there."""
        kept = [str(self.keeping)] if self.keeping else []
        inputs = json.dumps([text, self.lists(), self.options, *kept])
        digest, note = hashlib.sha256(inputs.encode()).hexdigest(), self.work_dir / 'inputs.sha256'
        if self.last.is_file() and (not note.is_file() or note.read_text() != digest):
            raise ValueError(
                f'{self.work_dir} holds a training on other videos or with other settings. Give '
                'another --work-dir, or remove it.'
            )
        note.write_text(digest)
        self.write_lists()
        bad = (f'{shown(video.path)}\t{video.reason}' for video in self.bad)
        write_lines(self.work_dir / 'bad_videos.txt', bad)
        others = (f'{shown(path)}\t{why}' for path, why in self.folder.left_out.items())
        write_lines(self.work_dir / 'left_out.txt', others)
        (self.work_dir / CONFIG).write_text(text, encoding='utf-8')

    def lists(self) -> list[Any]:
        """What is trained and tested on, to be told from other data."""
        return [[f'{v.path} {v.label}' for v in videos] for videos in self.parts.values()]

    def write_lists(self) -> None:
        """Write the annotation files that the config names."""
        for part, videos in self.parts.items():
            write_list(self.work_dir / f'{part}.txt', videos)
        write_lines(self.work_dir / 'labels.txt', self.folder.labels)
        if 'test' in self.parts:  # scores of the validation set say from which on one is believed
            loader = dict(dataset=dict(ann_file=str(self.work_dir / 'val.txt')))
            fields = dict(_base_=CONFIG, test_dataloader=loader)
            text = config_file(['Tests on the validation set.'], fields)
            self.validation.write_text(text, encoding='utf-8')

    def read(self, text: str) -> Config:
        """A config's text with the options merged in."""
        config = Config.fromstring(text, '.py')
        config.merge_from_dict(launch.parse_options(self.options))
        return config

    def config(self) -> Config:
        """The written config with the options merged in."""
        path = str(self.work_dir / CONFIG)
        args = Namespace(config=path, launcher='none', work_dir=None, cfg_options=self.options)
        return launch.read_config(args)

    @property
    def tested(self) -> list[Video]:
        """The videos of the final figure."""
        return self.parts.get('test', self.parts['val'])

    def describe(self) -> str:
        """What was found and chosen, in lines."""
        lines = self.what()
        if self.bad:
            lines.append(f'{len(self.bad)} cannot be read and are left out (bad_videos.txt):')
            lines += [f'  {shown(video.path)}: {video.reason}' for video in self.bad[:20]]
        if others := self.folder.left_out:
            said = in_numbers(others.values())
            lines.append(f'{len(others)} other files are left out (left_out.txt): {said}')
        lines += [*self.recipe.reasons, self.chance()]
        lines.append(f'writes {CONFIG}, lists, logs, checkpoints, {", ".join(self.RESULTS)} into')
        return '\n'.join([*lines, f'  {shown(str(self.work_dir))}'])

    def what(self) -> list[str]:
        """The data in lines: how much of what."""
        count = {part: len(videos) for part, videos in self.parts.items()}
        names = [shown(name) for name in self.folder.labels]
        between = f', {count["val"]} to validate on' if 'test' in count else ''
        lines = [
            f'{len(names)} classes ({_some(names)}): {count["train"]} videos to train on'
            f'{between}, {len(self.tested)} to test'
        ]
        seen = {video.label for video in self.tested}
        unseen = [name for i, name in enumerate(names) if i not in seen]
        if unseen:
            lines.append(f'none to test of: {", ".join(unseen)}')
        fewest = min(Counter(video.label for video in self.parts['train']).values())
        if fewest < 5:
            lines.append(f'a class has only {fewest} to train on: expect little of it')
        return lines

    def chance(self) -> str:
        """What a guess achieves."""
        chance = share_of_largest([video.label for video in self.tested])
        return f'chance: {chance:.1f} % by always saying the same class'

    @cached_property
    def feature_plan(self) -> FeaturePlan:
        """What is to be kept of the clips; holds the model."""
        return FeaturePlan(self.config(), self.keeping)

    def keep_features(self) -> None:
        """Keep them, and write the config that trains on them."""
        self.feature_plan.fill()
        header = [f'What {CONFIG} says, on features that are kept.']
        text = config_file(header, dict(_base_=CONFIG), self.feature_plan.changes())
        (self.work_dir / WITH_FEATURES).write_text(text, encoding='utf-8')
        del self.feature_plan

    def expect(self) -> str:
        """Device, time and memory, measured on a few clips, in lines."""
        if self.keeping:
            if at_hand(self.config().model.backbone.trunk.get('checkpoint')):
                return str(self.feature_plan)
            return 'size and time of the features are said when the weights are here'
        try:
            expected = estimate(self.config())
        except Exception as error:  # a wrong guess must not stop what may work
            return f'time and memory not estimated: {str(error).splitlines()[0]}'
        return '\n'.join(expected.lines() if expected else ['too large to estimate its time'])

    def commands(self) -> dict[str, list[str]]:
        """The package's commands that train and test, as they are called."""
        config, options = self.work_dir / CONFIG, self.options
        if self.keeping and (self.work_dir / WITH_FEATURES).is_file():
            config = self.work_dir / WITH_FEATURES  # whose clips follow the options already
            options = [option for option in options if not option.startswith(OF_CLIPS)]
        found = dict(train=[*_command('train'), str(config), '--resume', *_merged(options)])
        if self.validation.is_file():
            dump = ['--dump', str(self.validation.with_suffix('.pkl'))]
            found['validate'] = self._test(self.validation, dump)
        return found | dict(test=self._test(self.work_dir / CONFIG, self.dumped()))

    def _test(self, config: Path, dumped: list[str]) -> list[str]:
        checkpoint = self.last.read_text().strip() if self.last.is_file() else '<last checkpoint>'
        where = ['--work-dir', str(self.work_dir / 'test')]
        return [*_command('test'), str(config), checkpoint, *where, *dumped, *_merged(self.options)]

    @property
    def validation(self) -> Path:
        """The config that tests on the validation set; written where another one is tested."""
        return self.work_dir / f'{VALIDATION}.py'

    def dumped(self) -> list[str]:
        """The options that let a test keep what it found."""
        return ['--dump', str(self.work_dir / PREDICTIONS)]

    def run(self) -> dict[str, Any]:
        """Train (or go on with it), test, and write adapter, confusion matrix and mistakes.

        Returns:
            The summary that ``confusion.json`` holds.

        Raises:
            RuntimeError: if a command fails; its own message is above.
        """
        if self.keeping:
            self.keep_features()
        for name in self.commands():
            status = run_shown(self.commands()[name], self.work_dir / f'{name}.log')
            if status:
                raise RuntimeError(
                    f'mmstadapter fit: {name} ended with status {status}; the reason is above and '
                    f'in {self.work_dir / name}.log.'
                )
        self.write_adapter()
        return self.write_results()

    def write_adapter(self) -> Path:
        """The portable file of the last checkpoint, with the label names."""
        config, out = self.config(), self.work_dir / ADAPTER
        model = build_model(config.model, self.last.read_text().strip())
        threshold = self.threshold()
        write_adapter(out, model, config, labels=self.folder.labels, none_of_these=threshold)
        return out

    def threshold(self) -> dict[str, Any]:
        """From which score on a label is believed, by the predictions of the validation set."""
        is_tested = 'test' not in self.parts
        file = self.work_dir / PREDICTIONS if is_tested else self.validation.with_suffix('.pkl')
        scores, labels = read_predictions(file)
        return calibrated(scores[labels >= 0].max(1))

    def write_results(self) -> dict[str, Any]:
        """Confusion matrix and mistakes of the predictions that the test dumped."""
        found = load(self.work_dir / PREDICTIONS)
        videos = self.tested
        if len(found) != len(videos):
            raise ValueError(
                f'mmstadapter fit: {len(found)} predictions for {len(videos)} videos. '
                'Run it again without other processes writing to the work dir.'
            )
        scores = torch.stack([sample['pred_score'].float() for sample in found]).numpy()
        own = np.array([int(sample['gt_label']) for sample in found])
        bad = np.flatnonzero(own < 0).tolist()
        names, root = self.folder.labels, self.folder.root
        return write_results(videos, scores, names, root, self.work_dir, bad)


def _some(names: list[str], limit: int = 12) -> str:
    return ', '.join(names[:limit]) + (' ...' if len(names) > limit else '')


def _merged(options: list[str]) -> list[str]:
    return ['--cfg-options', *options] if options else []


def _command(name: str) -> list[str]:
    return [sys.executable, '-m', 'mmstadapter', name]
