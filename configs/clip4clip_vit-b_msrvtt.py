"""CLIP4Clip, mean-pooled, CLIP ViT-B/16, 12 frames, MSR-VTT 1k-A.

As `clip4clip_vit-b32_msrvtt.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b32_msrvtt.py'

trunk = dict(arch='vit-b-p16', checkpoint='openai/ViT-B-16')
model = dict(backbone=dict(trunk=trunk), text_tower=dict(checkpoint='openai/ViT-B-16'))
