"""Side4Video 24x512, CLIP ViT-L/14, 8 frames, Something-Something V1. Paper: 61.0 top-1 (Table 4).

Released recipe: 8 GPUs x 16 videos, 2 clips of each, 30 epochs at 1e-4 (Table 12).

    mim train mmstadapter side4video_vit-l_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_ssv1.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk, side_dims=512), cls_head=dict(in_channels=512))
train_cfg = dict(max_epochs=30)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
