"""Kinetics-400, 8 frames 16 apart, as the released EVL code trains and tests it.

Folders and lists are those of `k400.py`. 32 clips a GPU in training: RandAugment, then a random
part of the frames to 224, bilinear, never mirrored (the released option is read and not
applied). Tested with 3 clips x centre, one video at a time, softmax averaged by the head.
"""

_base_ = 'k400.py'

train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleStride', clip_len=8, frame_interval=16),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
    dict(type='mmstadapter.RandomResizedSquare', size=224, interpolation='bilinear'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='mmstadapter.SampleStride', clip_len=8, frame_interval=16, num_views=3, test_mode=True
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=224, interpolation='bilinear'),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
