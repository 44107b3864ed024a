"""EVL in CLIP ViT-B/16, as released: four decoder layers, all three marks of time.

A config adds what depends on the data: `model = dict(cls_head=dict(num_classes=...))`.
`num_frames` follows its `clip_len`.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.EVLViT',
        trunk=_base_.trunk,
        blocks='last_4',
        temporal=('conv', 'position', 'cross_attention'),
        num_frames=8,
        dropout=0.5,
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768, dropout_ratio=0.5, init_std=None),
)
