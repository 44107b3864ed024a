"""AIM, CLIP ViT-B/16, 8 frames, Something-Something V2. Published: 66.4 (Side4Video, Table 2).

Two adapters around the attention over time, scale 1, as released.
50 epochs. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-b_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-b.py',
    '_base_/datasets/ssv2_aim.py',
    '_base_/schedules/adamw_aim.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(scale=1.0, time_in=True),
    cls_head=dict(num_classes=174, label_smooth_eps=0.1),
)
train_cfg = dict(max_epochs=50)
