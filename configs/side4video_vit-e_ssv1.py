"""Side4Video 32x576, EVA-CLIP ViT-E/14, 8 frames, Something-Something V1.

Paper: 65.3 top-1 (Table 4). Released recipe: 8 GPUs x 8 videos, 2 clips of each, 30 epochs at
1e-4 (Table 12).

    mim train mmstadapter side4video_vit-e_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/trunks/eva_vit-e-p14.py',
    '_base_/datasets/ssv1.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.Side4VideoViT',
        trunk=_base_.trunk,
        side_dims=576,
        layers='interval',
        norm='post',
        with_cp=True,
    ),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=576,
        num_classes=174,
        dropout_ratio=0.0,
        init_std=None,
        label_smooth_eps=0.1,
    ),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=6,
        by_epoch=True,
        convert_to_iter_based=True,
        update_interval=10,
    )
]
auto_scale_lr = dict(base_batch_size=64)
