"""Side4Video 12x320 beside CLIP ViT-B/16, with the released head.

What is not said has the released value; `side4video_vit-b_k400.py` names it. A config adds what
depends on the data: `model = dict(cls_head=dict(num_classes=...))`.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mmstadapter.Side4VideoViT', trunk=_base_.trunk, side_dims=320),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=320,
        dropout_ratio=0.0,
        init_std=None,
        label_smooth_eps=0.1,
    ),
)
