"""Side4Video 4x48, tiny CLIP, 8 frames, moving digits: which way it moves.

100 % of 8 motions (seeds 0, 1, 2), where models that do not look at the order of frames reach 50 %.

    mim train mmstadapter side4video_vit-tiny_demo-motion.py
"""

_base_ = [
    '_base_/trunks/clip_vit-tiny.py',
    '_base_/datasets/demo.py',
    '_base_/schedules/adamw_demo.py',
    '_base_/default_runtime.py',
]
model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mmstadapter.Side4VideoViT', trunk=_base_.trunk, side_dims=48, head_dims=16),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=48,
        num_classes=8,
        dropout_ratio=0.0,
        init_std=None,
    ),
)
