"""ZeroI2V, CLIP ViT-L/14, 8 frames 16 apart, Kinetics-400. Released code: 86.3 top-1.

The backbone learns at a tenth of the rate. 8 GPUs x 8 clips.

    mim train mmstadapter zeroi2v_vit-l_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/zeroi2v_vit-l.py',
    '_base_/datasets/k400_zeroi2v.py',
    '_base_/schedules/adamw_zeroi2v_large.py',
    '_base_/default_runtime.py',
]

model = dict(cls_head=dict(num_classes=400))
