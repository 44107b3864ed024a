"""ST-Adapter 12x384, CLIP ViT-B/16, 8 frames, Kinetics-400. Released code: 82.2 top-1.

One adapter a block after attention, kernel (3, 1, 1), as the released training script has
it (paper, Table 1: 82.0 with 7.42 M tuned parameters). 3 GPUs x 64 clips.

    mim train mmstadapter stadapter_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = [
    '_base_/models/stadapter_vit-b.py',
    '_base_/datasets/k400.py',
    '_base_/schedules/adamw_12e.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
