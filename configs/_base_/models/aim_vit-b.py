"""AIM in CLIP ViT-B/16 as released for Kinetics: one adapter after the attention over time.

A config adds what depends on the data: `model = dict(cls_head=dict(num_classes=...))`. Frames are
normalised as in the released configs, by CLIP's statistics in three digits.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[122.769, 116.74, 104.04],
        std=[68.493, 66.63, 70.321],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='mmstadapter.AIMViT',
        trunk=dict(_base_.trunk, tune='after_blocks'),
        num_frames=8,
        scale=0.5,
        drop_path_rate=0.2,
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768, init_std=0.01),
)
