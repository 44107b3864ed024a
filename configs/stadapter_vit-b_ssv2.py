"""ST-Adapter 24x384, CLIP ViT-B/16, 8 frames, Something-Something V2. Released code: 66.9 top-1.

Two adapters a block, before and after attention (paper, Table 3: 67.1 with 14.4 M tuned
parameters). 4 GPUs x 64 clips.

    mim train mmstadapter stadapter_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = [
    '_base_/models/stadapter_vit-b.py',
    '_base_/datasets/ssv2.py',
    '_base_/schedules/adamw_50e.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(positions=('before_attn', 'after_attn')),
    cls_head=dict(num_classes=174),
)
