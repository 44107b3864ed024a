"""MSVD: 1,200 training videos, about 40 captions each; every caption is a query in testing.

`mmstadapter prepare msvd` writes the lists. All else as in `msrvtt.py`, but that there
are 100 validation videos, on which an epoch can be chosen; the released code takes the best on
the 670 test videos.
"""

_base_ = 'msrvtt.py'

data_root = 'data/msvd'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='train.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='val.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.json'))
