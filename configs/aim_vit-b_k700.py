"""AIM, CLIP ViT-B/16, 8 frames 16 apart, Kinetics-700, as the released file has it.

No result of it is published; see `aim_vit-b_k700_32f.py`. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-b_k700.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-b.py',
    '_base_/datasets/k700.py',
    '_base_/schedules/adamw_aim.py',
    '_base_/default_runtime.py',
]

model = dict(cls_head=dict(num_classes=700))
