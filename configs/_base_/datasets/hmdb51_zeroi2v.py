"""HMDB51, 8 frames from equal segments, as the released ZeroI2V code trains and tests it.

Lists are those of `hmdb51.py`, `split` included; all else is as in `ucf101_zeroi2v.py`.
"""

_base_ = 'ucf101_zeroi2v.py'

data_root = 'data/hmdb51/videos'
ann_file_train = 'data/hmdb51/hmdb51_train_split_{split}_videos.txt'
ann_file_val = 'data/hmdb51/hmdb51_val_split_{split}_videos.txt'

train_dataloader = dict(
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=data_root), num_classes=51)
)
val_dataloader = dict(
    dataset=dict(ann_file=ann_file_val, data_prefix=dict(video=data_root), num_classes=51)
)
test_dataloader = dict(
    dataset=dict(ann_file=ann_file_val, data_prefix=dict(video=data_root), num_classes=51)
)
