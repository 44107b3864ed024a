"""Something-Something V1, 8 frames, as the released Side4Video trains and tests it.

The data set comes as folders of frames; `mmstadapter prepare sthv1` writes the lists, a line
"folder frames label" for each. All else is as for V2 (`ssv2_s4v.py`), whose 174 classes these are.
Folders of fewer than 8 frames are left out in training and validation, as released.
"""

_base_ = 'ssv2_s4v.py'

dataset_type = 'mmstadapter.RawframeDataset'
data_root = 'data/sthv1/rawframes'
ann_file_train = 'data/sthv1/sthv1_train_list_frames.txt'
ann_file_val = 'data/sthv1/sthv1_val_list_frames.txt'
filename_tmpl = '{:05}.jpg'

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file_train,
        data_prefix=dict(video=data_root),
        filename_tmpl=filename_tmpl,
        min_frames=8,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root),
        filename_tmpl=filename_tmpl,
        min_frames=8,
    )
)
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file_val,
        data_prefix=dict(video=data_root),
        filename_tmpl=filename_tmpl,
    )
)
