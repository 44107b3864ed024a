"""Moving digits with captions ("the digit three moves to the left"), for text-video retrieval.

`mmstadapter prepare moving_digits` makes the files. Frames as in `demo.py`: validation
holds every scene in both directions with the same frames, so a model that does not look at
their order gives a scene's two captions the same answer, and R@1 is at most 50.0 %.

800 training clips share 80 captions. A batch holds two digits with the eight motions of each,
no caption twice: what tells a caption from seven of the others is the motion word alone. Batches
drawn at random reach less in the same time.

Validation is five galleries, one a colour of the ground, of 80 videos and 80 captions; figures
are means over them, and tied videos share the credit.
"""

_base_ = '../default_loaders.py'

dataset_type = 'mmstadapter.CaptionDataset'
data_root = 'data/moving_digits'
data_prefix = dict(video='videos')

clip_len = 8
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=clip_len, frame_interval=3, temporal_jitter=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=clip_len, frame_interval=3, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    sampler=dict(
        _delete_=True,
        type='mmstadapter.CaptionGroupSampler',
        pattern=r'the digit (\w+)',
        group_size=8,
    ),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train_captions.json',
        data_prefix=data_prefix,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=40,
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val_captions.json',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmstadapter.TextVideoMetric',
    galleries=r'_(\w+)_',  # val/three_red_left.mp4
    tolerance=1e-6,  # a scene's directions are the same to a model blind to order, up to rounding
)
test_evaluator = val_evaluator
