"""TDS-CLIP 12x320, CLIP ViT-B/16, 8 frames, Kinetics-400. Authors: 83.9 top-1.

Released recipe: 8 GPUs x 16 videos, 2 clips of each, 30 epochs at 1e-3. Tested with 4 clips
of 3 crops; what stands before the first frame: `_base_/datasets/k400_tds.py`.

    mim train mmstadapter tdsclip_vit-b_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/tdsclip_vit-b.py',
    '_base_/datasets/k400_tds.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
auto_scale_lr = dict(base_batch_size=128)
