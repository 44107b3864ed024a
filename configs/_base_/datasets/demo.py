"""Moving digits, the benchmark that makes itself; the motion task.

`mmstadapter prepare moving_digits` makes the files; the digit task is the same
videos with the lists train_digit.txt and val_digit.txt.

Of 24 frames, testing takes 1, 4, ..., 22, which are the same ones when the video is played
backwards, and training one random frame of each three. Validation holds every scene in both
directions, so a model that does not look at the order of frames is right on at most 50.0 %
of the motions. No mirroring and no cropping: both would change what is asked.
"""

_base_ = '../default_loaders.py'

dataset_type = 'mmstadapter.VideoDataset'
data_root = 'data/moving_digits'

clip_len = 8
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=clip_len, frame_interval=3, temporal_jitter=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=clip_len, frame_interval=3, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train_motion.txt',
        data_prefix=dict(video='videos'),
        num_classes=8,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=40,
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val_motion.txt',
        data_prefix=dict(video='videos'),
        num_classes=8,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmstadapter.VideoAccMetric', metric_list=('top_k_accuracy',))
test_evaluator = val_evaluator
