"""CLIP ViT-B/32, else as `clip_vit-b-p16.py`."""

_base_ = 'clip_vit-b-p16.py'

trunk = dict(arch='vit-b-p32', checkpoint='openai/ViT-B-32')
