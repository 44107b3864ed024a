"""CLIP ViT-L/14, else as `clip_vit-b-p16.py`."""

_base_ = 'clip_vit-b-p16.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
