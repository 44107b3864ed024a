"""Side4Video 32x576 beside EVA-CLIP ViT-E/14, with the released head.

Every second of the 64 layers is read, side blocks end with their norms and are recomputed in
the backward pass. A config adds `model = dict(cls_head=dict(num_classes=...))`.
"""

_base_ = '../trunks/eva_vit-e-p14.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.Side4VideoViT',
        trunk=_base_.trunk,
        side_dims=576,
        layers='interval',
        norm='post',
        recompute='block',
    ),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=576,
        dropout_ratio=0.0,
        init_std=None,
        label_smooth_eps=0.1,
    ),
)
