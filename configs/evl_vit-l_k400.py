"""EVL, CLIP ViT-L/14, 8 frames 16 apart, Kinetics-400. Released code: 86.3 top-1.

Four decoder layers read the last four layers of a frozen trunk. 8 GPUs x 32 clips, 50,000 steps.
Tested with 3 clips x centre.

    mim train mmstadapter evl_vit-l_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/evl_vit-l.py',
    '_base_/datasets/k400_evl.py',
    '_base_/schedules/adamw_evl.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
