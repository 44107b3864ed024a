"""EVL, CLIP ViT-L/14@336, 32 frames 8 apart, Kinetics-400. Released code: 87.7 top-1.

As `evl_vit-l_k400_32f.py` with sizes of 336; the released code names the figure and has no
script for it.

    mim train mmstadapter evl_vit-l336_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'evl_vit-l_k400_32f.py'

trunk = dict(arch='vit-l-p14-336', checkpoint='openai/ViT-L-14-336')
model = dict(backbone=dict(trunk=trunk))
_base_.train_dataloader.dataset.pipeline[4].size = 336
_base_.val_dataloader.dataset.pipeline[3].size = 336
_base_.val_dataloader.dataset.pipeline[4].size = 336
_base_.test_dataloader.dataset.pipeline[3].size = 336
_base_.test_dataloader.dataset.pipeline[4].size = 336
