"""TDS-CLIP 12x320, CLIP ViT-B/16, 8 frames, Something-Something V1. Authors: 60.1 top-1.

Released recipe: 8 GPUs x 16 videos, 2 clips of each, 40 epochs at 1e-3. Tested with 2 clips
of 3 crops.

    mim train mmstadapter tdsclip_vit-b_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/tdsclip_vit-b.py',
    '_base_/datasets/ssv1_tds.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174))
train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=128)
