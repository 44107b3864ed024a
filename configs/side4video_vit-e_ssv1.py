"""Side4Video 32x576, EVA-CLIP ViT-E/14, 8 frames, Something-Something V1.

Paper: 65.3 top-1 (Table 4). Released recipe: 8 GPUs x 8 videos, 2 clips of each, 30 epochs at
1e-4 (Table 12).

    mim train mmstadapter side4video_vit-e_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-e.py',
    '_base_/datasets/ssv1.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174))
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
_base_.param_scheduler[0].warmup = 6
auto_scale_lr = dict(base_batch_size=64)
