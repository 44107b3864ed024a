"""CLIP4Clip, mean-pooled, CLIP ViT-B/16 frozen, 12 frames, MSR-VTT 1k-A.

As `clip4clip_vit-b32-frozen_msrvtt.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b-frozen_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b_msrvtt.py'

model = dict(backbone=dict(trunk=dict(tune='after_blocks')))
