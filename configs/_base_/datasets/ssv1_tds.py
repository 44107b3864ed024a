"""Something-Something V1, 8 frames and the two on either side of each, as TDS-CLIP has it.

All else is as for Side4Video (`ssv1.py`). Before the first frame that one is repeated, as the
released code does for folders of frames, which it reads.
"""

_base_ = 'ssv1.py'

neighbours = dict(type='mmstadapter.AddNeighbours', num_diff=5)
train_pipeline = [
    new
    for step in _base_.train_pipeline
    for new in ((step, neighbours) if 'clip_len' in step else (step,))
]
val_pipeline = [
    new
    for step in _base_.val_pipeline
    for new in ((step, neighbours) if 'clip_len' in step else (step,))
]
test_pipeline = [
    new
    for step in _base_.test_pipeline
    for new in ((step, neighbours) if 'clip_len' in step else (step,))
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
