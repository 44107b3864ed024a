"""AIM, CLIP ViT-B/16, 8 frames 16 apart, Kinetics-400. Released code: 83.9 top-1.

The released file holds 32 frames 4 apart; fewer frames are farther apart, over the same 128.
8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-b_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-b.py',
    '_base_/datasets/k400_aim.py',
    '_base_/schedules/adamw_aim.py',
    '_base_/default_runtime.py',
]

model = dict(cls_head=dict(num_classes=400))
