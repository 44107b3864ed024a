"""Kinetics-400, 16 frames 4 apart, as V-JEPA 2's frozen evaluation trains and tests.

Folders and lists are those of `k400.py`. 4 videos a GPU in training: 8 clips of a video, read
together, RandAugment, a random part of at least 8 % of the frames to 256, bilinear, a quarter of
them with a rectangle erased, never mirrored. Tested with 8 clips x 3 squares. Here all clips of
a video are changed alike; released: each by draws of its own. SampleFrames spreads the clips as
MMAction2 does; released: one in each of 8 equal parts.
"""

_base_ = 'k400.py'

clip_len = 16
frame_interval = 4
num_clips = 8
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='SampleFrames',
        clip_len=clip_len,
        frame_interval=frame_interval,
        num_clips=num_clips,
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
    dict(type='mmstadapter.RandomResizedSquare', size=256, interpolation='bilinear'),
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='rand',
        fill_color=(123.675, 116.28, 103.53),
        fill_std=(58.395, 57.12, 57.375),
    ),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='SampleFrames',
        clip_len=clip_len,
        frame_interval=frame_interval,
        num_clips=num_clips,
        test_mode=True,
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=256, interpolation='bilinear'),
    dict(type='mmstadapter.SpatialViews', size=256, num_crops=3),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
