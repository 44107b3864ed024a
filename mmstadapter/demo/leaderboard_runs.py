"""One run of the leaderboard: a method on a trunk and a task with a seed, trained and tested."""

import datetime
import hashlib
import importlib.util
import json
import multiprocessing
import os
import platform
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from . import results
from .methods import Method, methods
from .results import Result
from .tasks import TASKS, Task, draw_clips

TRUNK_CONFIGS = {'timm-tiny': '_base_/trunks/timm_vit-tiny.py'}  # the configs have the other
IMAGE_MODELS = {'clip-tiny': 'clip_tiny.safetensors', 'timm-tiny': 'timm_tiny.safetensors'}


@dataclass(frozen=True)
class Plan:
    """One run.

    Args:
        method, trunk, task, seed: which.
        data: folder of the data sets.
        folder: of the results.
        work_dir: of logs.
        epochs: instead of the config's, for trials.
    """

    method: str
    trunk: str
    task: str
    seed: int
    data: str = 'data'
    folder: str = 'leaderboard'
    work_dir: str = 'work_dirs/leaderboard'
    epochs: int | None = None

    @property
    def name(self) -> str:
        """Of the run and its folder."""
        return f'{self.method}_{self.trunk}_{self.task}_{self.seed}'

    @property
    def asked(self) -> Task:
        """The task."""
        return TASKS[self.task]

    @property
    def row(self) -> Method:
        """The method."""
        return methods(self.asked.kind)[self.method]

    @property
    def root(self) -> Path:
        """Folder of the data set."""
        return Path(self.data) / self.asked.data

    @property
    def image_model(self) -> Path:
        """The trunk's file."""
        return Path(self.data) / 'moving_digits' / IMAGE_MODELS[self.trunk]

    def options(self) -> dict[str, Any]:
        """Changed fields of the config that say what is run, files and seed left out."""
        epochs = {} if self.epochs is None else {'train_cfg.max_epochs': self.epochs}
        return self.asked.options | self.row.options | epochs

    def is_result(self, result: Result) -> bool:
        """Whether a result is of this run with these settings."""
        options = json.loads(json.dumps(self.options()))
        settings = (result.config, result.options) == (self.row.config, options)
        return settings and result.key() == self.name


def start_worker(log_dir: str) -> None:
    """Prepare a process for runs: one thread, a log, and an end when its parent has gone."""
    import torch

    torch.set_num_threads(1)
    threading.Thread(
        target=leave_with, args=[multiprocessing.parent_process()], daemon=True
    ).start()
    path = Path(log_dir) / f'worker_{os.getpid()}.log'
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)


def leave_with(parent: Any) -> None:
    """End this process when a parent has gone, killed perhaps, so that nothing runs on unseen."""
    parent.join()
    os._exit(1)


def read_config(plan: Plan, drawn: dict | None = None):
    """The config of a run: the shipped one, changed fields, trunk, files and seed.

    Args:
        plan: the run.
        drawn: the field of a seed's own training list.
    """
    from mmengine.config import Config

    from mmstadapter import shipped

    cfg = Config.fromfile(shipped.find_config(plan.row.config))
    if plan.trunk in TRUNK_CONFIGS:
        change_trunk(cfg, Config.fromfile(shipped.config(TRUNK_CONFIGS[plan.trunk])))
    settings = plan.options() | (drawn or {})
    settings['model.backbone.trunk.checkpoint'] = str(plan.image_model)
    if plan.asked.kind == 'captions':
        settings['model.text_tower.checkpoint'] = str(plan.image_model)
    settings['randomness.seed'] = plan.seed
    for loader in ('train', 'val', 'test'):
        settings[f'{loader}_dataloader.dataset.data_root'] = str(plan.root)
    cfg.merge_from_dict(settings)
    cfg.work_dir = str(Path(plan.work_dir) / plan.name)
    cfg.experiment_name = f'{plan.name}_{time.time_ns()}'
    return cfg


def change_trunk(cfg, other) -> None:
    """Put another trunk and its normalisation into a config; what is tuned stays."""
    kept = {k: v for k, v in cfg.model.backbone.trunk.items() if k in ('tune', 'lora', 'dtype')}
    cfg.model.backbone.trunk = other.trunk.to_dict() | kept
    cfg.model.data_preprocessor = other.data_preprocessor.to_dict()


def reason_against(plan: Plan) -> str | None:
    """Why a method cannot be run on a trunk, or for want of what, None if it can."""
    import torch
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    if plan.trunk == 'timm-tiny' and importlib.util.find_spec('timm') is None:
        return "timm is not installed: pip install 'mmstadapter[timm]'"
    init_default_scope('mmaction')
    try:
        with torch.device('meta'):
            MODELS.build(read_config(plan).model)
    except (ImportError, TypeError, ValueError) as error:
        return str(error).splitlines()[0]
    return None


def complete(plan: Plan) -> Result:
    """Train with the ordinary runner, test, and keep the result in its folder."""
    from mmengine.runner import Runner

    from .kept_clips import keep_in_memory

    cfg = read_config(plan, draw_clips(plan.asked, plan.root, plan.seed))
    needs = costs(cfg, plan.row.is_trained)
    keep_in_memory(cfg)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None  # tested once, at the end
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    runner = Runner.from_cfg(cfg)
    if plan.row.is_trained:
        clock = step_clock()
        runner.register_hook(clock)
        runner.train()
        needs['step_ms'] = round(1e3 * min(clock.seconds), 1)
    else:
        runner.model.init_weights()
    scores = read_scores(plan.asked, runner.test())
    tuned = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    result = Result(
        method=plan.method,
        label=plan.row.label,
        trunk=plan.trunk,
        task=plan.task,
        seed=plan.seed,
        scores=scores,
        sees_order=sees_order(read_config(plan)),
        tuned=tuned if plan.row.is_trained else 0,
        epochs=cfg.train_cfg.max_epochs if plan.row.is_trained else 0,
        config=plan.row.config,
        options=json.loads(json.dumps(plan.options())),
        inputs=inputs(plan),
        **needs,
        **machine(),
    )
    results.write(result, Path(plan.folder))
    return result


def costs(cfg, is_trained: bool) -> dict[str, Any]:
    """Operations of a clip and the peak of a training step, both counted on empty tensors."""
    from mmstadapter.analysis.costs import operations_of_clip
    from mmstadapter.planning.step import TrainingStep

    _, operations = operations_of_clip(cfg) or (0, 0)
    peak = TrainingStep(cfg, on_cpu=True).account().peak if is_trained else None
    return dict(
        gmac=round(operations / 1e9, 4),
        peak_mb=None if peak is None else round(peak / 1e6, 1),
        step_ms=None,
    )


@cache
def _clock_class() -> type:
    from mmengine.hooks import Hook

    class StepClock(Hook):
        """Processor time of every training step, loading and decoding left out."""

        def __init__(self) -> None:
            self.seconds: list[float] = []

        def before_train_iter(self, *args, **kwargs) -> None:
            self.started = time.process_time()

        def after_train_iter(self, *args, **kwargs) -> None:
            self.seconds.append(time.process_time() - self.started)

    return StepClock


def step_clock() -> Any:
    """A hook that notes the processor time of steps in ``seconds``.

    The least of them is a run's figure: it depends little on what else the machine does.
    """
    return _clock_class()()


def sees_order(cfg) -> bool:
    """Whether a config's backbone tells a clip from the same clip backwards.

    Tried with random weights, since many a tensor over time starts at zero.
    """
    import torch
    from mmaction.registry import MODELS

    from mmstadapter.models.ops.clips import frames_seen

    cfg.model.backbone.trunk.checkpoint = None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = MODELS.build(cfg.model.backbone).eval()
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter.data, std=0.3)
        frames = frames_seen(backbone, cfg.clip_len)
        video = torch.randn(1, 3, frames, *backbone.trunk.img_size)
    with torch.no_grad():
        forwards, backwards = backbone(video), backbone(video.flip(2))
    if forwards.dim() == 3:  # of retrieval, (1, T, E)
        forwards, backwards = forwards.mean(dim=1), backwards.mean(dim=1)
    return not torch.allclose(forwards, backwards, atol=1e-4)


def read_scores(task: Task, metrics: dict) -> dict[str, float]:
    """What a test gave, in per cent, rounded to four digits."""
    if task.kind == 'captions':
        return {way: round(float(metrics[f'retrieval/{way}/R1']), 4) for way in task.scores}
    return dict(top1=round(100 * float(metrics['acc/top1']), 4))


def inputs(plan: Plan) -> dict[str, Any]:
    """What the result depends on besides the settings."""
    digest = hashlib.sha256(plan.image_model.read_bytes()).hexdigest()
    return dict(data=json.loads((plan.root / 'recipe.json').read_text()), image_model=digest)


def machine() -> dict[str, Any]:
    """Where, with what and when a result was made."""
    import torch

    from mmstadapter.version import __version__

    versions = dict(torch=torch.__version__, mmstadapter=__version__)
    if timm := sys.modules.get('timm'):
        versions['timm'] = timm.__version__
    return dict(
        machine=f'{platform.machine()}, {os.cpu_count()} cores, 1 thread a run',
        versions=versions,
        date=datetime.date.today().isoformat(),
    )
