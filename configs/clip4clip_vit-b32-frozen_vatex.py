"""CLIP4Clip, mean-pooled, CLIP ViT-B/32 frozen, 12 frames, VATEX.

Side4Video's baseline "CLIP4Clip (frozen ViT)": 55.7 R@1 (Tables 8 and 11). The image
encoder is frozen up to its final norm and projection. 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b32-frozen_vatex.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b32_vatex.py'

model = dict(backbone=dict(trunk=dict(tune='after_blocks')))
