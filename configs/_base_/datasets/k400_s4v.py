"""Kinetics-400, 8 frames spread over the video, as the released Side4Video trains and tests it.

Folders and lists are those of `k400.py`. 32 videos a GPU; the frames are resized to a short side
of 256, a random part of them to 224, mirrored half of the time, grey every fifth time. Between
epochs one centred square is validated; the final test takes 4 clips x 3 squares, one video at a
time, softmax averaged by the head.

E/14 trains with RandAugment behind VideoDecode besides, and 1 video a GPU. `num_sample` of the
training data set takes several clips of the same frames into the batch; released: 1.
"""

_base_ = 'k400.py'

clip_len = 8
num_views = 4  # of the final test
num_crops = 3
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSide4Video', clip_len=clip_len, rule='kinetics'),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=256),
    dict(type='mmstadapter.PILRandomSquare', size=224),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='mmstadapter.RandomGrey', p=0.2),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSide4Video', clip_len=clip_len, rule='kinetics', test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=256),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='mmstadapter.SampleSide4Video',
        clip_len=clip_len,
        rule='kinetics',
        num_views=num_views,
        test_mode=True,
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=256),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=num_crops, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=32,
    collate_fn=dict(type='mmstadapter.flat_collate'),
    dataset=dict(pipeline=train_pipeline, num_sample=1),
)
val_dataloader = dict(batch_size=32, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
