"""VATEX: 25,991 training videos, ten English captions each; every caption is a query in testing.

`mmstadapter prepare vatex` writes the lists. All else as in `msvd.py`, but that testing
takes the middle of each twelfth of a video.
"""

_base_ = 'msrvtt.py'

data_root = 'data/vatex'
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=12, test_mode=True, rule='middle'),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='train.json'))
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val.json', pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', pipeline=test_pipeline)
)
