"""HMDB51, 8 frames 8 apart, as the ST-Adapter paper trains and tests it (appendix, Table 7).

`mmstadapter prepare hmdb51` writes the lists. As `ucf101.py` in everything else,
`split` included.
"""

_base_ = 'ucf101.py'

data_root = 'data/hmdb51/videos'
ann_file_train = 'data/hmdb51/hmdb51_train_split_{split}_videos.txt'
ann_file_val = 'data/hmdb51/hmdb51_val_split_{split}_videos.txt'

train_dataloader = dict(
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=data_root), num_classes=51)
)
val_dataloader = dict(
    dataset=dict(ann_file=ann_file_val, data_prefix=dict(video=data_root), num_classes=51)
)
test_dataloader = val_dataloader
