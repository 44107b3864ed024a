"""EVL, tiny CLIP, 8 frames, moving digits: which way it moves.

Two decoder layers read the last two of the four layers of the trunk.

    mim train mmstadapter evl_vit-tiny_demo-motion.py
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
        type='mmstadapter.EVLViT', trunk=_base_.trunk, blocks='last_2', num_frames=8, dropout=0.0
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=96, num_classes=8, dropout_ratio=0.0),
)
