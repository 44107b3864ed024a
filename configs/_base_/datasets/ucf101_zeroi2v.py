"""UCF101, 8 frames from equal segments, as the released ZeroI2V code trains and tests it.

Lists are those of `ucf101.py`, `split` included. 16 clips a GPU, RandAugment before the crop,
mirrored half of the time; the final test takes 1 clip x 3 squares.
"""

_base_ = 'k400.py'

split = 1
data_root = 'data/ucf101/videos'
ann_file_train = 'data/ucf101/ucf101_train_split_{split}_videos.txt'
ann_file_val = 'data/ucf101/ucf101_val_split_{split}_videos.txt'

train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='UniformSample', clip_len=8),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-inc1'),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='UniformSample', clip_len=8, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        ann_file=ann_file_train,
        data_prefix=dict(video=data_root),
        num_classes=101,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    dataset=dict(
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root),
        num_classes=101,
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(
    dataset=dict(
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root),
        num_classes=101,
        pipeline=val_pipeline,
        steps=dict(Resize=dict(scale=(-1, 224)), CenterCrop=dict(type='ThreeCrop')),
    )
)
