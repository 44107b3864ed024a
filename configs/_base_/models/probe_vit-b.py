"""V-JEPA 2's attentive probe on CLIP ViT-B/16: one, four blocks of 16 heads.

A config adds what depends on the data: `model = dict(cls_head=dict(num_classes=...))`.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mmstadapter.ProbeViT', trunk=_base_.trunk, depth=4, num_heads=16),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768, dropout_ratio=0.0, init_std=None),
)
