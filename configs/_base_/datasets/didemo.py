"""DiDeMo: one paragraph a video, 32 frames at one a second of its first 30 seconds.

`mmstadapter prepare didemo` writes the lists. As in CLIP4Clip videos are thinned to a
frame a second, without chance in training; its limit of 64 frames is never reached in 30
seconds. Frames are repeated evenly where a video has fewer than 32.
"""

_base_ = 'msrvtt.py'

data_root = 'data/didemo'

train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='mmstadapter.SampleSpread', clip_len=32, fps=1, seconds=30)
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(train_pipeline[1], test_mode=True)

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train.json', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val.json', pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', pipeline=test_pipeline)
)
