"""EVL in CLIP ViT-L/14, else as `evl_vit-b.py`."""

_base_ = 'evl_vit-b.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk), cls_head=dict(in_channels=1024))
