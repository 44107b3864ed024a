"""ZeroI2V, CLIP ViT-B/16, 16 frames, Something-Something V2, as released; no figure is published.

A head each looks one and two frames back and ahead, scale 1, no dropout, 50 epochs.
16 GPUs x 4 clips.

    mim train mmstadapter zeroi2v_vit-b_ssv2_16f.py --launcher pytorch --gpus 16
"""

_base_ = [
    '_base_/models/zeroi2v_vit-b.py',
    '_base_/datasets/ssv2_zeroi2v.py',
    '_base_/schedules/adamw_zeroi2v.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(shifts=[(-1, 12), (1, 12), (-2, 12), (2, 12)], scale=1.0, dropout=0.0),
    cls_head=dict(num_classes=174, label_smooth_eps=0.1),
)
train_cfg = dict(max_epochs=50)
