"""A small config that passes all checks, and what a changed one is told."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from mmstadapter.checks import ConfigError, prepare

BASE = """
custom_imports = dict(imports=['mmstadapter'], allow_failed_imports=False)
default_scope = 'mmaction'
work_dir = 'out'
trunk = dict(type='mmstadapter.CLIPViT', arch='vit-b-p16', checkpoint='clip.safetensors')
model = dict(
    type='Recognizer3D',
    backbone=dict(type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=48),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768, num_classes=2),
)
data_root = 'videos'
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=4),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
data = dict(
    type='mmstadapter.VideoDataset',
    ann_file='list.txt',
    data_root=data_root,
    data_prefix=dict(video='.'),
    num_classes=2,
    pipeline=train_pipeline,
)
train_dataloader = dict(
    batch_size=8, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=True), dataset=data
)
val_dataloader = dict(batch_size=8, num_workers=2, dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmstadapter.VideoAccMetric', metric_list=('top_k_accuracy',))
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR', warmup=1, by_epoch=True, convert_to_iter_based=True
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(type='CheckpointHook', interval=1, save_best='auto'),
    bad_videos=dict(type='mmstadapter.BadVideoHook'),
    finite_loss=dict(type='mmstadapter.FiniteLossHook'),
)
env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='nccl')
)
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
randomness = dict(seed=0)
"""


@pytest.fixture
def written(tmp_path) -> Callable[..., Config]:
    """The config of a child of the one above, with further lines and ``--cfg-options``."""

    def read(lines: str = '', **options) -> Config:
        path = Path(tmp_path / 'mine.py')
        path.write_text(f"_base_ = 'base.py'\n{lines}\n")
        path.with_name('base.py').write_text(BASE)
        config = Config.fromfile(path)
        config.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
        return config

    return read


@pytest.fixture
def complaint(written) -> Callable[..., str]:
    """What the checks say of it; '' where it passes."""

    def check(lines: str = '', **options) -> str:
        try:
            prepare(written(lines, **options))
        except ConfigError as error:
            return str(error)
        return ''

    return check


@pytest.fixture
def notes(written) -> Callable[..., str]:
    """What goes into the log."""
    return lambda lines='', **options: '\n'.join(prepare(written(lines, **options))[1])
