"""ST-Adapter 24x384, CLIP ViT-L/14@336, 8 frames, Kinetics-400.

The paper names no accuracy on Kinetics for this trunk, only what comes of it on UCF101 and
HMDB51 (Table 7). As ViT-L/14 with sizes of 336 / 224. 16 GPUs x 8 clips.

    mim train mmstadapter stadapter_vit-l336_k400.py --launcher pytorch --gpus 16
"""

_base_ = 'stadapter_vit-l_k400.py'

trunk = dict(arch='vit-l-p14-336', checkpoint='openai/ViT-L-14-336')
model = dict(backbone=dict(trunk=trunk))
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        steps=dict(ResizeShortSide=dict(size=(336, 387)), RandomSquare=dict(size=336)),
    ),
)
val_dataloader = dict(
    dataset=dict(steps=dict(ResizeShortSide=dict(size=336), SpatialViews=dict(size=336)))
)
test_dataloader = val_dataloader
