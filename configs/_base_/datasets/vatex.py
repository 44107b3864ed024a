"""VATEX: 25,991 training videos, ten English captions each; every caption is a query in testing.

`mmstadapter prepare vatex` writes the lists. All else as in `msvd.py`, but that testing
takes the middle of each twelfth of a video.
"""

_base_ = 'msrvtt.py'

data_root = 'data/vatex'
test_pipeline = _base_.test_pipeline
test_pipeline[1].rule = 'middle'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='train.json'))
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val.json', pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', pipeline=test_pipeline)
)
