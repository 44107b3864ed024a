"""AIM, tiny CLIP, 8 frames, moving digits: which way it moves.

One adapter more than on Kinetics, as for Something-Something.

    mim train mmstadapter aim_vit-tiny_demo-motion.py
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
    backbone=dict(
        type='mmstadapter.AIMViT',
        trunk=dict(_base_.trunk, tune='after_blocks'),
        num_frames=8,
        scale=1.0,
        time_in=True,
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=96, num_classes=8, dropout_ratio=0.0),
)
