"""Kinetics-400, 8 frames 16 apart, as the released ZeroI2V code trains and tests it.

As `k400_aim.py`, with RandAugment (4 operations at 7, of the released code's pytorchvideo form;
here the package's) before the crop, and test clips from the first to the last possible start.
"""

_base_ = 'k400_aim.py'

train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-inc1'),
    *_base_.train_pipeline[4:],
]
val_pipeline = _base_.val_pipeline
val_pipeline[1].type = 'SampleFrames'
test_pipeline = _base_.test_pipeline
test_pipeline[1].type = 'SampleFrames'

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
