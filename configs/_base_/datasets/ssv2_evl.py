"""Something-Something V2, 8 frames from equal segments, augmented as `k400_evl.py`.

No script for this data set is released, and the released code cannot test clips that are spread
evenly. Folders and lists are those of `ssv2.py`. 32 clips a GPU; tested with 1 clip x 3 squares.
"""

_base_ = 'ssv2.py'

train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=8),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
    dict(type='mmstadapter.RandomResizedSquare', size=224, interpolation='bilinear'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=8, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=224, interpolation='bilinear'),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=3),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
