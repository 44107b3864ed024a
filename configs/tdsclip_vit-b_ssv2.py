"""TDS-CLIP 12x320, CLIP ViT-B/16, 8 frames, Something-Something V2. Authors: 71.8 top-1.

Released recipe: 8 GPUs x 16 videos, 2 clips of each, 30 epochs at 1e-3. Tested with 2 clips
of 3 crops.

    mim train mmstadapter tdsclip_vit-b_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/tdsclip_vit-b.py',
    '_base_/datasets/ssv2_tds.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174))
auto_scale_lr = dict(base_batch_size=128)
