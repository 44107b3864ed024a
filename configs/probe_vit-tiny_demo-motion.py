"""Attentive probe, tiny CLIP, 8 frames, moving digits: which way it moves.

V-JEPA 2's probe, two blocks, on all patches of all frames. Nothing says which frame a token is
of, so that it does not pass the bound of 50.0 % for models blind to the order of frames.

    mim train mmstadapter probe_vit-tiny_demo-motion.py
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
    backbone=dict(type='mmstadapter.ProbeViT', trunk=_base_.trunk, depth=2, num_heads=4),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=96,
        num_classes=8,
        dropout_ratio=0.0,
        init_std=None,
    ),
)
