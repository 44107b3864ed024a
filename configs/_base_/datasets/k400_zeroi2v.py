"""Kinetics-400, 8 frames 16 apart, as the released ZeroI2V code trains and tests it.

As `k400_aim.py`, with RandAugment (4 operations at 7, of the released code's pytorchvideo form;
here the package's) before the crop, and test clips from the first to the last possible start.
"""

_base_ = 'k400_aim.py'

train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=16, num_clips=1),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-inc1'),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
spread = dict(SampleMiddles=dict(type='SampleFrames'))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(steps=spread))
test_dataloader = dict(dataset=dict(steps=spread))
