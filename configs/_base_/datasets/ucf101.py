"""UCF101, 8 frames 8 apart, as the ST-Adapter paper trains and tests it (appendix, Table 7).

`mmstadapter prepare ucf101` writes the lists. `split` chooses one of the three, in a
config or by `--cfg-options split=2`; it is written into `ann_file` when a runner is built.
Training is that of Kinetics-400; testing takes 2 clips x 3 squares. The paper names the stride
and not the number of frames, which is taken to be the default of its other tables.
"""

_base_ = 'k400.py'

split = 1
data_root = 'data/ucf101/videos'
ann_file_train = 'data/ucf101/ucf101_train_split_{split}_videos.txt'
ann_file_val = 'data/ucf101/ucf101_val_split_{split}_videos.txt'

frame_interval = 8
num_views = 2
num_crops = 3

train_dataloader = dict(
    dataset=dict(
        ann_file=ann_file_train,
        data_prefix=dict(video=data_root),
        num_classes=101,
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root),
        num_classes=101,
    )
)
test_dataloader = val_dataloader
