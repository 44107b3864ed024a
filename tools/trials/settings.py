"""Configs with a misspelt key or an impossible value: are they refused before training?"""

import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config

from .outcome import Outcome, call, has_sentence, of_error, trying
from .toy import write_world

# Options that cannot be meant, for the toy config.
IMPOSSIBLE = """
optim_wrapper.clip_grad.max_norm=-1
optim_wrapper.clip_grad.max_norm=0
optim_wrapper.clip_grad=dict(max_nrom=1.0)
optim_wrapper.optimizer.lr=-0.1
optim_wrapper.optimizer.lr=nan
optim_wrapper.optimizer.lr='fast'
optim_wrapper.optimizer.weight_decay=-1
optim_wrapper.optimizer.betas=(0.9,1.5)
optim_wrapper.optimizer.type=AdamX
optim_wrapper.accumulative_counts=0
optim_wrapper.paramwise_cfg.custom_keys.backbone_x.lr_mult=0.1
optim_wrapper.type=NoWrapper
optim_wrapper.constructor=NoConstructor
model.cls_head.label_smooth_eps=2
model.cls_head.label_smooth_eps=-0.5
model.cls_head.num_classes=1
model.cls_head.num_classes=0
model.cls_head.in_channels=64
model.cls_head.dropout_ratio=1.5
model.cls_head.dropout_ratio=-1
model.cls_head.average_clips=median
model.cls_head.topk=(0,)
model.cls_head.type=VideoHed
model.backbone.bottleneck_dims=0
model.backbone.bottleneck_dims=-8
model.backbone.kernel_size=(2,1,1)
model.backbone.type=mmstadapter.STAdapterVit
model.backbone.trunk.arch=vit-l-p15
model.backbone.trunk.arch.patch_size=0
model.backbone.trunk.arch.num_heads=5
model.backbone.trunk.checkpoint=none.safetensors
model.data_preprocessor.std=(0,0,0)
model.data_preprocessor.mean=(1,2)
model.type=Recogniser3D
train_cfg.max_epochs=0
train_cfg.max_epochs=-3
train_cfg.max_epochs=two
train_cfg.val_interval=0
train_cfg.val_interval=-1
train_cfg.by_epoch=maybe
train_dataloader.batch_size=0
train_dataloader.batch_size=-4
train_dataloader.num_workers=-1
train_dataloader.dataset.ann_file=none.txt
train_dataloader.dataset.data_prefix.video=none
train_dataloader.dataset.num_classes=1
train_dataloader.dataset.pipeline.1.clip_len=0
train_dataloader.dataset.pipeline.1.frame_interval=0
train_dataloader.dataset.pipeline.1.num_clips=0
train_dataloader.dataset.pipeline.0.reader=ffmpeg
train_dataloader.dataset.fraction=2
train_dataloader.sampler.type=NoSampler
train_dataloader.collate_fn.type=no_collate
val_dataloader.dataset.ann_file=none.txt
val_dataloader.dataset.data_prefix.video=none
val_dataloader.batch_size=0
val_dataloader.dataset.pipeline.1.clip_len=0
val_evaluator.metric_list=(acc,)
val_evaluator.metric_options.top_k_accuracy.topk=(0,)
default_hooks.checkpoint.save_best=acc/top9
default_hooks.checkpoint.rule=biggest
default_hooks.logger.interval=0
param_scheduler.0.warmup=-1
param_scheduler.0.warmup=9
param_scheduler.0.type=NoLR
randomness.seed=one
env_cfg.mp_cfg.mp_start_method=fork_it
load_from=none.pth
custom_hooks.0.type=NoHook
model.backbone.trunk.frozen=yes
""".split('\n')[1:-1]
# Names that users make, or that a copy beside the right one does no harm to.
FREE = {'default_hooks', 'custom_keys', 'arch', '_scope_'}
TOP = {
    'model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg',
    'test_cfg', 'val_evaluator', 'test_evaluator', 'optim_wrapper', 'param_scheduler',
    'default_hooks', 'custom_hooks', 'randomness', 'env_cfg', 'load_from', 'resume',
    'auto_scale_lr', 'log_processor', 'default_scope', 'log_level', 'visualizer',
}  # fmt: skip


def prepare(work: Path) -> None:
    """The toy world; its config must train."""
    work.mkdir(parents=True)
    write_world(work)
    call('train', work / 'toy.py', '--work-dir', work / 'run')


def places(value: object, path: tuple = ()) -> Iterator[tuple[tuple, dict, str]]:
    """(path, dict, key) of every key that has one right spelling."""
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            named = path or key in TOP
            if named and len(key) > 3 and key[0] != '_' and not FREE & {*path[-1:]}:
                yield (*path, key), value, key
            if path or key in TOP:
                yield from places(item, (*path, key))


def misspell(word: str, rng: np.random.Generator, taken: dict) -> str:
    """A letter dropped, doubled, exchanged with the next, or another one."""
    while True:
        at = int(rng.integers(1, len(word) - 1))
        other = string.ascii_lowercase[int(rng.integers(26))]
        forms = (
            word[:at] + word[at + 1 :],
            word[: at + 1] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + other + word[at + 1 :],
        )
        wrong = forms[int(rng.integers(4))]
        if wrong not in taken and wrong != word and not wrong.startswith('_'):
            return wrong


def case(seed: int, work: Path, number: int, folder: Path) -> Outcome:
    """One wrong setting, with which training must not begin."""
    rng = np.random.default_rng([seed, number])
    words = ['train', work / 'toy.py', '--work-dir', folder / 'run']
    if number < len(IMPOSSIBLE):
        wrong = option = IMPOSSIBLE[number]
        words += ['--cfg-options', option]
    else:
        config = Config.fromfile(work / 'toy.py')
        found = list(places(config._cfg_dict.to_dict()))
        path, _, key = found[int(rng.integers(len(found)))]
        holder = config._cfg_dict
        for step in path[:-1]:
            holder = holder[step]
        wrong = misspell(key, rng, holder)
        holder[wrong] = holder[key]
        option = '.'.join(map(str, (*path[:-1], wrong)))
        config.dump(folder / 'wrong.py')
        words[1] = folder / 'wrong.py'
    tried = trying(option)
    try:
        call(*words)
    except Exception as error:
        outcome = of_error(error, tried)
        if 'Epoch(train)' in Path('said.txt').read_text(errors='replace'):
            return outcome._replace(kind='crash', said=f'after training began: {outcome.said}')
        named = number >= len(IMPOSSIBLE) and wrong in str(error)
        return outcome if has_sentence(error) or not named else outcome._replace(kind='refused')
    return Outcome('silent', tried, 'trained as if nothing were wrong')
