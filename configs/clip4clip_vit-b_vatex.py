"""CLIP4Clip, mean-pooled, CLIP ViT-B/16, 12 frames, VATEX.

As `clip4clip_vit-b32_vatex.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b_vatex.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b32_vatex.py'

trunk = dict(arch='vit-b-p16', checkpoint='openai/ViT-B-16')
model = dict(backbone=dict(trunk=trunk), text_tower=dict(checkpoint='openai/ViT-B-16'))
