"""ZeroI2V in CLIP ViT-L/14: two heads of sixteen look back, two ahead, twelve stay."""

_base_ = 'zeroi2v_vit-b.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk, shifts=[(-1, 8), (1, 8)]), cls_head=dict(in_channels=1024))
