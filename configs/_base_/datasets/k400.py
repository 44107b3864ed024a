"""Kinetics-400, 8 frames 16 apart, as the released ST-Adapter code trains and tests it.

Folders and lists as MMAction2's tools make them (tools/data/kinetics there): a line
"path label" for each video. 64 clips a GPU in training. Validation takes the test protocol:
3 clips, centre square, one video at a time, softmax averaged by the head.
"""

_base_ = '../default_loaders.py'

dataset_type = 'mmstadapter.VideoDataset'
data_root = 'data/kinetics400/videos_train'
data_root_val = 'data/kinetics400/videos_val'
ann_file_train = 'data/kinetics400/kinetics400_train_list_videos.txt'
ann_file_val = 'data/kinetics400/kinetics400_val_list_videos.txt'

clip_len = 8
num_views = 3
num_crops = 1
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleStride', clip_len=clip_len, frame_interval=16),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=(224, 258)),
    dict(type='mmstadapter.RandomSquare', size=224),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='mmstadapter.SampleStride',
        clip_len=clip_len,
        frame_interval=16,
        num_views=num_views,
        test_mode=True,
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=num_crops),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file_train,
        data_prefix=dict(video=data_root),
        num_classes=400,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root_val),
        num_classes=400,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmstadapter.VideoAccMetric')
test_evaluator = val_evaluator
