"""CLIP4Clip, mean-pooled, CLIP ViT-B/16 frozen, 12 frames, MSVD.

As `clip4clip_vit-b32-frozen_msvd.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b-frozen_msvd.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b_msvd.py'

model = dict(backbone=dict(trunk=dict(tune='after_blocks')))
