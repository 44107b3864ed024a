"""TempMe, CLIP ViT-B/16, 12 frames, MSR-VTT 1k-A, released defaults. No R@1 in its README.

As `tempme_vit-b32_msrvtt.py`. Counted, 23 % of the image encoder's multiply-adds less; the 51 %
of the paper's abstract are out of reach of tome_r at this size (12: 43 %). 4 GPUs x 32 pairs.

    mim train mmstadapter tempme_vit-b_msrvtt.py --launcher pytorch --gpus 4
"""

_base_ = 'tempme_vit-b32_msrvtt.py'

trunk = dict(arch='vit-b-p16', checkpoint='openai/ViT-B-16')
model = dict(backbone=dict(trunk=trunk), text_tower=dict(checkpoint='openai/ViT-B-16'))
