"""Side4Video 12x320, CLIP ViT-B/32, 8 frames, Something-Something V1. The paper has no result.

Released recipe, that of B/16.

    mim train mmstadapter side4video_vit-b32_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_ssv1.py'

trunk = dict(arch='vit-b-p32', checkpoint='openai/ViT-B-32')
model = dict(backbone=dict(trunk=trunk))
