"""CLIP as it is, ViT-B/16, mean of 8 frames, Kinetics-400 by names: nothing is trained.

A clip is compared with 'a video of a person doing' each class. Names are read from the label map
that `mmstadapter prepare kinetics400` writes.

    mmstadapter test zeroshot_vit-b_k400.py none
"""

_base_ = [
    '_base_/trunks/clip_vit-b-p16.py',
    '_base_/datasets/k400.py',
    '_base_/schedules/adamw_12e.py',
    '_base_/default_runtime.py',
]
model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.FrameMeanViT', trunk=dict(_base_.trunk, with_proj=True), output='frames'
    ),
    cls_head=dict(
        type='mmstadapter.TextHead',
        in_channels=512,
        num_classes=400,
        text_tower=dict(
            type='mmstadapter.CLIPText', arch='clip-b', checkpoint='openai/ViT-B-16', tune='none'
        ),
        tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=77),
        labels='data/kinetics400/label_map_k400.txt',
        prompt='a video of a person doing {}.',
    ),
)
