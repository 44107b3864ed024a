"""Side4Video 12x320, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 83.6 top-1 (Table 5).

Twelve side blocks of width 320 beside a frozen trunk (Table 1). Released recipe: 8 GPUs x 32
clips, 30 epochs at 1e-3 (Table 12). Tested with 4 clips of 3 crops. `sync_bn = 'torch'` takes
BatchNorm's statistics over all GPUs (docs/batchnorm.md).

    mim train mmstadapter side4video_vit-b_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-b.py',
    '_base_/datasets/k400_s4v.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        layers='all',
        temporal='conv',
        cls_shift=True,
        fusion='mean',  # 'sum' is the paper's Eq. 2
        norm='pre',
        representation='avg_pool',
    ),
    cls_head=dict(num_classes=400),
)
