"""Kinetics-400, 8 frames and the two on either side of each, as the released TDS-CLIP has it.

All else is as for Side4Video (`k400_s4v.py`), but for 16 videos a GPU with 2 differently augmented
clips of each. The released code reads video files so that before the first frame come the last
ones, in every validation clip and every first clip of a test; its figures may have been measured
like that. Here the first frame is repeated; the released way is
`--cfg-options test_dataloader.dataset.steps.AddNeighbours.before_first=last`.
"""

_base_ = 'k400_s4v.py'

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

train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline, num_sample=2))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
