"""The tiny CLIP as it is, mean of 8 frames, moving digits by the digits' names: nothing is trained.

93.0 % of the digits on unseen handwriting.

    mmstadapter test zeroshot_vit-tiny_demo-digit.py none
"""

_base_ = [
    '_base_/trunks/clip_vit-tiny.py',
    '_base_/text_towers/clip_text-tiny.py',
    '_base_/datasets/demo.py',
    '_base_/schedules/adamw_demo.py',
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
        in_channels=64,
        num_classes=10,
        text_tower=dict(_base_.text_tower, tune='none'),
        tokenizer=_base_.tokenizer,
        labels='data/moving_digits/digit_labels.txt',
        prompt='a photo of the digit {}',
    ),
)
train_dataloader = dict(dataset=dict(ann_file='train_digit.txt', num_classes=10))
val_dataloader = dict(dataset=dict(ann_file='val_digit.txt', num_classes=10))
test_dataloader = dict(dataset=dict(ann_file='val_digit.txt', num_classes=10))
