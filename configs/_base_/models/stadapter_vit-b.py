"""ST-Adapter 12x384 in CLIP ViT-B/16, as released for Kinetics-400: after attention, (3, 1, 1).

A config adds what depends on the data: `model = dict(cls_head=dict(num_classes=...))`.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.STAdapterViT',
        trunk=_base_.trunk,
        bottleneck_dims=384,
        kernel_size=(3, 1, 1),
        positions=('after_attn',),
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768),
)
