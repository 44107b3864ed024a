"""Side4Video 12x320, CLIP ViT-B/32, 12 frames, MSVD. Paper: 44.6 R@1 (Table 7).

As `side4video_vit-b_msvd.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-b32_msvd.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_msvd.py'

trunk = dict(arch='vit-b-p32', checkpoint='openai/ViT-B-32')
model = dict(backbone=dict(trunk=trunk), text_tower=dict(checkpoint='openai/ViT-B-32'))
