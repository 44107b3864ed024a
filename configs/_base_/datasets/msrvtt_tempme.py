"""`msrvtt.py` as TempMe's released loader reads it: 12 frames of a video thinned to 1 a second.

They are spread from the first to the last, the same in training as in testing, and come more than
once where there are fewer. Training frames go through RandAugment; no random squares, no mirror
images. 32 pairs a GPU, on 4.
"""

_base_ = 'msrvtt.py'

clip_len = 12
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=clip_len, test_mode=True, rule='ends', fps=1),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
    dict(type='mmstadapter.PILResize', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]
test_pipeline = [step for step in train_pipeline if step['type'] != 'mmstadapter.RandAugment']

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=32, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
