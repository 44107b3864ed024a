"""ZeroI2V, CLIP ViT-B/16, 8 frames 16 apart, Kinetics-400. Released code: 83.0 top-1.

`mmstadapter merge` takes the trained adapters into the trunk. 8 GPUs x 8 clips.

    mim train mmstadapter zeroi2v_vit-b_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/zeroi2v_vit-b.py',
    '_base_/datasets/k400_zeroi2v.py',
    '_base_/schedules/adamw_zeroi2v.py',
    '_base_/default_runtime.py',
]

model = dict(cls_head=dict(num_classes=400))
