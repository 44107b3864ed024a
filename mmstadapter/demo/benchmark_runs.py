"""The runs of the benchmark: which methods, and how one of them is trained and tested."""

import datetime
import hashlib
import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TASKS = {'motion': 8, 'digit': 10}  # and their classes
CAPTIONS = 'captions'  # the task of finding videos by captions, and captions by videos
BACKBONE, KERNEL = 'model.backbone.type', 'model.backbone.kernel_size'
TUNE = 'model.backbone.trunk.tune'
# Pretrained tensors that are tuned take a quarter of the rate of new ones: 5e-4 and 2e-3.
TUNED_TRUNK = {
    'optim_wrapper.optimizer.lr': 2e-3,
    'optim_wrapper.paramwise_cfg.custom_keys': {'backbone.trunk': dict(lr_mult=0.25)},
}
NEW_LAYERS = {'optim_wrapper.optimizer.lr': 2e-3}


@dataclass(frozen=True)
class Method:
    """A row of the table: a shipped config with some fields changed.

    Args:
        label: the row's name.
        base: config of the motion task, up to `_vit-tiny_demo-motion.py`; of the captions, up
            to `_demo-captions.py`.
        options: changed fields, as for ``Config.merge_from_dict``.
        sees_order: whether the model can tell a clip from the same clip backwards.
        task: whose config it is.
        is_trained: false for a row that takes the image model as it is.
    """

    label: str
    base: str
    options: dict = field(default_factory=dict)
    sees_order: bool = False
    task: str = 'motion'
    is_trained: bool = True

    def config(self) -> str:
        """Name of the shipped config."""
        if self.task == CAPTIONS:
            return f'{self.base}_demo-captions.py'
        return f'{self.base}_vit-tiny_demo-motion.py'


def _adapter(kernel: tuple[int, int, int]) -> Method:
    label = 'ST-Adapter, kernel ' + ' x '.join(map(str, kernel))
    return Method(label, 'stadapter', {KERNEL: kernel}, sees_order=kernel[0] > 1)


# The most telling rows first: that is the order of the runs.
METHODS = {
    'linear': Method('Linear probe', 'linear'),
    'stadapter-111': _adapter((1, 1, 1)),
    'stadapter-133': _adapter((1, 3, 3)),
    'stadapter-311': _adapter((3, 1, 1)),
    'stadapter-333': _adapter((3, 3, 3)),
    'side4video': Method('Side4Video, width 48', 'side4video', sees_order=True),
    'aim': Method('AIM, two adapters over time', 'aim', sees_order=True),
    'zeroi2v': Method('ZeroI2V', 'zeroi2v', sees_order=True),
    'evl': Method('EVL, last two layers', 'evl', sees_order=True),
    'dist': Method('DiST, 4 + 8 frames', 'dist', sees_order=True),
    'full': Method('Full fine-tuning, SA', 'linear', {TUNE: 'all'} | TUNED_TRUNK),
    'timesformer': Method(
        'Full fine-tuning, SA + TA',
        'linear',
        {BACKBONE: 'mmstadapter.TimeSformerViT', TUNE: 'all'} | TUNED_TRUNK,
        sees_order=True,
    ),
    'xvit': Method(
        'Full fine-tuning, SA + TS',
        'linear',
        {BACKBONE: 'mmstadapter.XViT', TUNE: 'all'} | TUNED_TRUNK,
        sees_order=True,
    ),
    'temporal': Method(
        'Temporal fine-tuning',
        'linear',
        {BACKBONE: 'mmstadapter.TimeSformerViT'} | NEW_LAYERS,
        sees_order=True,
    ),
    'partial': Method('Partial fine-tuning', 'linear', {TUNE: 'last_1'} | TUNED_TRUNK),
    'prompt': Method(
        'Prompt tuning, 16 a block',
        'linear',
        {BACKBONE: 'mmstadapter.PromptViT', 'model.backbone.num_prompts': 16} | NEW_LAYERS,
    ),
    'attnpool': Method(
        'Attentional pooling', 'linear', {BACKBONE: 'mmstadapter.AttnPoolViT'} | NEW_LAYERS
    ),
    'bitfit': Method('BitFit', 'linear', {TUNE: 'bias'} | NEW_LAYERS),
}

RETRIEVERS = {
    'zeroshot': Method(
        'Image model as it is', 'zeroshot_vit-tiny', task=CAPTIONS, is_trained=False
    ),
    'clip4clip': Method('Frozen frames, trained text', 'clip4clip_vit-tiny-frozen', task=CAPTIONS),
    'stadapter': Method('ST-Adapter', 'stadapter_vit-tiny', sees_order=True, task=CAPTIONS),
    'stadapter-plain': Method(
        'ST-Adapter, no text negatives',
        'stadapter_vit-tiny',
        {'model.loss.text_negatives': 0.0},
        sees_order=True,
        task=CAPTIONS,
    ),
    'side4video': Method('Side4Video', 'side4video_vit-tiny', sees_order=True, task=CAPTIONS),
}


def methods_of(task: str) -> dict[str, Method]:
    """The rows of a task."""
    return RETRIEVERS if task == CAPTIONS else METHODS


@dataclass(frozen=True)
class Plan:
    """One run: a method on a task with a seed."""

    method: str
    task: str
    seed: int
    data_root: str
    work_dir: str
    epochs: int | None = None  # instead of the config's

    def name(self) -> str:
        """Of the run and its file."""
        return f'{self.method}_{self.task}_{self.seed}'

    def result_file(self) -> Path:
        """There once the run is complete."""
        return Path(self.work_dir) / 'results' / f'{self.name()}.json'

    def result(self) -> dict | None:
        """What came out, None if the run was not done with these inputs."""
        file = self.result_file()
        found = json.loads(file.read_text()) if file.is_file() else None
        return found if found and found['inputs'] == self.inputs() else None

    def inputs(self) -> dict:
        """What the result depends on, besides the code."""
        method, root = methods_of(self.task)[self.method], Path(self.data_root)
        return dict(
            data=json.loads((root / 'recipe.json').read_text()),
            image_model=hashlib.sha256((root / 'clip_tiny.safetensors').read_bytes()).hexdigest(),
            config=method.config(),
            options=json.loads(json.dumps(method.options)),
            epochs=self.epochs,
        )


def start_worker(log_dir: str) -> None:
    """Prepare a process for runs: one thread, and its output into a file."""
    import torch

    torch.set_num_threads(1)
    path = Path(log_dir) / f'worker_{os.getpid()}.log'
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)


def read_config(plan: Plan):
    """The config of a run: the shipped one, the method's options, files, seed and task."""
    from mmengine.config import Config

    from mmstadapter import shipped

    method = methods_of(plan.task)[plan.method]
    image_model = Path(plan.data_root) / 'clip_tiny.safetensors'
    cfg = Config.fromfile(shipped.find_config(method.config()))
    settings = dict(method.options)
    settings['model.backbone.trunk.checkpoint'] = str(image_model)
    if plan.task == CAPTIONS:
        settings['model.text_tower.checkpoint'] = str(image_model)
    else:
        settings['model.cls_head.num_classes'] = TASKS[plan.task]
    settings['randomness.seed'] = plan.seed
    for loader, half in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = f'{loader}_dataloader.dataset'
        settings[f'{dataset}.data_root'] = plan.data_root
        if plan.task in TASKS:
            settings[f'{dataset}.ann_file'] = f'{half}_{plan.task}.txt'
            settings[f'{dataset}.num_classes'] = TASKS[plan.task]
    if plan.epochs is not None:
        settings['train_cfg.max_epochs'] = plan.epochs
    cfg.merge_from_dict(settings)
    cfg.work_dir = str(Path(plan.work_dir) / 'runs' / plan.name())
    cfg.experiment_name = f'{plan.name()}_{time.time_ns()}'
    return cfg


def keep_in_memory(cfg) -> None:
    """Decode every clip once a process instead of once an epoch; the frames are the same."""
    _register_kept_video()
    for split in ('train', 'test'):
        dataset = cfg[f'{split}_dataloader']['dataset']
        root = Path(dataset['data_root'])
        kept_clips(str(root / dataset['data_prefix']['video'] / split.replace('test', 'val')))
        for step in dataset['pipeline']:
            if step['type'] == 'mmstadapter.VideoInit':
                step['type'] = 'KeptVideoInit'


@cache
def kept_clips(folder: str) -> dict[str, 'KeptVideo']:
    """File name -> the decoded clip, of all videos of a folder."""
    from mmstadapter.datasets.readers import open_video

    clips = {}
    for path in sorted(Path(folder).glob('*.mp4')):
        video = open_video(str(path))
        clips[path.name] = KeptVideo(video.read(range(len(video))), video.fps)
    return clips


class KeptVideo:
    """A decoded video that is read as a file is."""

    def __init__(self, frames: list, fps: float) -> None:
        self.frames, self.fps = frames, fps

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices) -> list:
        """Frames by index, each its own array."""
        return [self.frames[int(index)].copy() for index in indices]


@cache
def _register_kept_video() -> None:
    from mmaction.registry import TRANSFORMS

    from mmstadapter import VideoInit

    @TRANSFORMS.register_module(name='KeptVideoInit')
    class KeptVideoInit(VideoInit):
        """VideoInit from memory."""

        def transform(self, results: dict) -> dict:
            path = Path(results['filename'])
            video = kept_clips(str(path.parent))[path.name]
            results.update(video_reader=video, total_frames=len(video), avg_fps=video.fps)
            return results


def complete(plan: Plan) -> dict:
    """Train with the ordinary runner, test, and keep the result in the run's file."""
    from mmengine.runner import Runner

    cfg = read_config(plan)
    keep_in_memory(cfg)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None  # tested once, at the end
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    started, cpu = time.perf_counter(), time.process_time()
    runner = Runner.from_cfg(cfg)
    is_trained = methods_of(plan.task)[plan.method].is_trained
    if is_trained:
        runner.train()
    else:
        runner.model.init_weights()
    figures = read_figures(plan.task, runner.test())
    tuned = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    result = dict(
        method=plan.method,
        task=plan.task,
        seed=plan.seed,
        **figures,
        tuned=tuned if is_trained else 0,
        classifier=classifier_size(runner.model),
        epochs=cfg.train_cfg.max_epochs if is_trained else 0,
        seconds=round(time.perf_counter() - started, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        **machine(),
        inputs=plan.inputs(),
    )
    plan.result_file().parent.mkdir(parents=True, exist_ok=True)
    part = plan.result_file().with_suffix('.part')
    part.write_text(json.dumps(result, indent=1) + '\n')
    os.replace(part, plan.result_file())
    return result


def read_figures(task: str, metrics: dict) -> dict[str, float]:
    """What is kept of a test, in per cent: the accuracy, or R@1 in both directions."""
    if task != CAPTIONS:
        return dict(top1=round(100 * float(metrics['acc/top1']), 4))
    return {way: round(float(metrics[f'retrieval/{way}/R1']), 4) for way in ('t2v', 'v2t')}


def classifier_size(model) -> int:
    """Parameters of the classifier, if there is one."""
    head = getattr(model, 'cls_head', None)
    return 0 if head is None else sum(p.numel() for p in head.parameters())


def machine() -> dict:
    """Where and when a result was made."""
    import torch

    return dict(
        machine=f'{platform.machine()}, {os.cpu_count()} cores, 1 thread a run',
        torch=torch.__version__,
        date=datetime.date.today().isoformat(),
    )
