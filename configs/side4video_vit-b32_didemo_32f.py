"""Side4Video 12x320, CLIP ViT-B/32, 32 frames, 64 words, DiDeMo. No figure published.

As `side4video_vit-b_didemo_32f.py`. 8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-b32_didemo_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_didemo_32f.py'

trunk = dict(arch='vit-b-p32', checkpoint='openai/ViT-B-32')
model = dict(backbone=dict(trunk=trunk), text_tower=dict(checkpoint='openai/ViT-B-32'))
