"""DiST, tiny CLIP, 8 frames, moving digits: which way it moves.

4+8 frames; a linear classifier, since motions have no names that the tiny CLIP has read.

    mim train mmstadapter dist_vit-tiny_demo-motion.py
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
        type='mmstadapter.DiSTViT',
        trunk=_base_.trunk,
        num_frames=8,
        dims=64,
        temporal_dims=24,
        output_dims=None,
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=64, num_classes=8, dropout_ratio=0.0),
)
