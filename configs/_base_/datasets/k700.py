"""Kinetics-700, 8 frames 16 apart, as the released AIM code trains and tests it.

Folders and lists as MMAction2's tools make them (tools/data/kinetics there, for kinetics700): a
line "path label" for each video. As `k400_aim.py`, but the final test takes 3 clips x 3 squares.
"""

_base_ = 'k400_aim.py'

data_root = 'data/kinetics700/videos_train'
data_root_val = 'data/kinetics700/videos_val'
ann_file_train = 'data/kinetics700/kinetics700_train_list_videos.txt'
ann_file_val = 'data/kinetics700/kinetics700_val_list_videos.txt'

train_dataloader = dict(
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=data_root), num_classes=700)
)
val_dataloader = dict(
    dataset=dict(ann_file=ann_file_val, data_prefix=dict(video=data_root_val), num_classes=700)
)
test_dataloader = dict(
    dataset=dict(
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root_val),
        num_classes=700,
        steps=dict(CenterCrop=dict(type='ThreeCrop')),
    )
)
