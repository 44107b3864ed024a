"""Something-Something V2, 8 frames from equal segments, as the released ST-Adapter code has it.

Folders and lists as MMAction2's tools make them (tools/data/sthv2 there): a line "path label"
for each video. 64 clips a GPU in training, without mirroring, which would change the class of
"from left to right". Validation takes the test protocol: 1 clip, 3 squares, one video at a
time, softmax averaged by the head.
"""

_base_ = '../default_loaders.py'

dataset_type = 'mmstadapter.VideoDataset'
data_root = 'data/sthv2/videos'
ann_file_train = 'data/sthv2/sthv2_train_list_videos.txt'
ann_file_val = 'data/sthv2/sthv2_val_list_videos.txt'

clip_len = 8
num_crops = 3
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=clip_len),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
    dict(type='mmstadapter.RandomResizedSquare', size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=clip_len, test_mode=True),
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
        num_classes=174,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root),
        num_classes=174,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmstadapter.VideoAccMetric')
test_evaluator = val_evaluator
