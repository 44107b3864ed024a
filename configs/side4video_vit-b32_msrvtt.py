"""Side4Video 12x320, CLIP ViT-B/32, 12 frames, MSR-VTT 1k-A. Paper: 44.2 R@1 (Table 6).

As `side4video_vit-b_msrvtt.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-b32_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_msrvtt.py'

trunk = dict(arch='vit-b-p32', checkpoint='openai/ViT-B-32')
model = dict(backbone=dict(trunk=trunk), text_tower=dict(checkpoint='openai/ViT-B-32'))
