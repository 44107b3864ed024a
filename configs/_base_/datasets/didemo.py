"""DiDeMo: one paragraph a video, 32 frames at one a second of its first 30 seconds.

`mmstadapter prepare didemo` writes the lists. As in CLIP4Clip videos are thinned to a
frame a second, without chance in training; its limit of 64 frames is never reached in 30
seconds. Frames are repeated evenly where a video has fewer than 32.
"""

_base_ = 'msrvtt.py'

data_root = 'data/didemo'

clip_len = 32
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=clip_len, fps=1, seconds=30),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=clip_len, fps=1, seconds=30, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train.json', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val.json', pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', pipeline=test_pipeline)
)
