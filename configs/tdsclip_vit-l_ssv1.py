"""TDS-CLIP 24x512, CLIP ViT-L/14, 8 frames, Something-Something V1. No figure published.

Released recipe: 8 GPUs x 16 videos, 2 clips of each, 30 epochs at 1e-4. Tested with 2 clips
of 3 crops.

    mim train mmstadapter tdsclip_vit-l_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = 'tdsclip_vit-b_ssv1.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk, side_dims=512), cls_head=dict(in_channels=512))
train_cfg = dict(max_epochs=30)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
