"""Side4Video 12x320, CLIP ViT-B/16, 8 frames, Something-Something V1. Paper: 59.4 top-1 (Table 4).

Released recipe: 8 GPUs x 16 videos, 2 clips of each, 40 epochs at 1e-3 (Table 12). Tested with
2 clips of 3 crops.

    mim train mmstadapter side4video_vit-b_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-b.py',
    '_base_/datasets/ssv1.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174))
train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=128)
