"""Side4Video 24x320, CLIP ViT-L/14, 12 frames, VATEX. Paper: 67.9 R@1 (Table 8).

As `side4video_vit-b_vatex.py`; there is no released training script for L/14. 8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-l_vatex.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_vatex.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(
    backbone=dict(trunk=trunk),
    text_tower=dict(arch='clip-l', checkpoint='openai/ViT-L-14'),
    similarity=dict(embed_dims=768),
)
