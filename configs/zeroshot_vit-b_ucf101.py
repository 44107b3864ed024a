"""CLIP as it is, ViT-B/16, mean of 8 frames, UCF101 by the classes' names: nothing is trained.

As `zeroshot_vit-b_k400.py`. Mean of three splits: `--cfg-options split=2` takes another than the
first. A model trained on Kinetics-400 with the names of its classes is tested here likewise.

    mmstadapter test zeroshot_vit-b_ucf101.py none
"""

_base_ = [
    '_base_/trunks/clip_vit-b-p16.py',
    '_base_/datasets/ucf101.py',
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
        num_classes=101,
        text_tower=dict(
            type='mmstadapter.CLIPText', arch='clip-b', checkpoint='openai/ViT-B-16', tune='none'
        ),
        tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=77),
        labels='data/ucf101/label_map_ucf101.txt',
        prompt='a video of a person doing {}.',
        split_words=True,
    ),
)
