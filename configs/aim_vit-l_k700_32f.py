"""AIM, CLIP ViT-L/14, 32 frames 4 apart, Kinetics-700. Released code: 80.4 top-1.

One rate for all, unlike `aim_vit-l_k400.py`, as released. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-l_k700_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-l.py',
    '_base_/datasets/k700.py',
    '_base_/schedules/adamw_aim.py',
    '_base_/default_runtime.py',
]

model = dict(backbone=dict(recompute='block'), cls_head=dict(num_classes=700))
clip_len = 32
frame_interval = 4
