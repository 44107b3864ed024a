"""TDS-CLIP 4x48, tiny CLIP, 8 frames, moving digits: which way it moves.

Of the 24 frames of a video the model sees all, 8 of them through the trunk.

    mim train mmstadapter tdsclip_vit-tiny_demo-motion.py
"""

_base_ = [
    '_base_/trunks/clip_vit-tiny.py',
    '_base_/datasets/demo.py',
    '_base_/schedules/adamw_demo.py',
    '_base_/default_runtime.py',
]

neighbours = dict(type='mmstadapter.AddNeighbours', num_diff=5)
train_pipeline = [
    new
    for step in _base_.train_pipeline
    for new in ((step, neighbours) if 'clip_len' in step else (step,))
]
test_pipeline = [
    new
    for step in _base_.test_pipeline
    for new in ((step, neighbours) if 'clip_len' in step else (step,))
]
model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.TDSCLIPViT',
        trunk=_base_.trunk,
        side_dims=48,
        num_diff=5,
        layers='all',
        head_dims=16,
    ),
    cls_head=dict(
        type='mmstadapter.VideoHead',
        in_channels=48,
        num_classes=8,
        dropout_ratio=0.0,
        init_std=None,
    ),
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
