"""DiST in CLIP ViT-B/16, as released: 16 frames, of which the trunk sees 8, classes as texts.

A config adds what depends on the data: the class names, their number in head and blending.
`num_frames` follows its `clip_len`.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        **_base_.data_preprocessor,
        blending=dict(
            type='RandomBatchAugment',  # one of them, each half of the time
            augments=[
                dict(type='MixupBlending', alpha=0.8),
                dict(type='CutmixBlending', alpha=1.0),
            ],
        ),
    ),
    backbone=dict(
        type='mmstadapter.DiSTViT',
        trunk=_base_.trunk,
        num_frames=16,
        stride=2,
        dims=384,
        temporal_dims=96,
        output_dims=512,
        num_poolings=2,
    ),
    cls_head=dict(
        type='mmstadapter.TextHead',
        in_channels=512,
        text_tower=dict(
            type='mmstadapter.CLIPText',
            arch='clip-b',
            checkpoint='openai/ViT-B-16',
            tune='none',
            dtype='float16',
        ),
        tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=77),
        label_smooth_eps=0.1,
    ),
)
