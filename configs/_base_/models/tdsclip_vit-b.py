"""TDS-CLIP 12x320 beside CLIP ViT-B/16, with the released head.

A config adds what depends on the data: `model = dict(cls_head=dict(num_classes=...))`.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.TDSCLIPViT', trunk=_base_.trunk, side_dims=320, num_diff=5, layers='all'
    ),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=320,
        dropout_ratio=0.0,
        init_std=None,
        label_smooth_eps=0.1,
    ),
)
