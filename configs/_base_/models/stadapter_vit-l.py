"""ST-Adapter 24x384 in CLIP ViT-L/14, in the form of `stadapter_vit-b.py`."""

_base_ = 'stadapter_vit-b.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk), cls_head=dict(in_channels=1024))
