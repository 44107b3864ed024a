"""EVL, CLIP ViT-L/14@336, 32 frames 8 apart, Kinetics-400. Released code: 87.7 top-1.

As `evl_vit-l_k400_32f.py` with sizes of 336; the released code names the figure and has no
script for it.

    mim train mmstadapter evl_vit-l336_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'evl_vit-l_k400_32f.py'

trunk = dict(arch='vit-l-p14-336', checkpoint='openai/ViT-L-14-336')
model = dict(backbone=dict(trunk=trunk))
train_dataloader = dict(dataset=dict(steps=dict(RandomResizedSquare=dict(size=336))))
val_dataloader = dict(
    dataset=dict(steps=dict(ResizeShortSide=dict(size=336), SpatialViews=dict(size=336)))
)
test_dataloader = val_dataloader
