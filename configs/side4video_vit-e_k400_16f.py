"""Side4Video 32x576, EVA-CLIP ViT-E/14, 16 frames, Kinetics-400. Paper: 88.6 top-1 (Table 5).

The recipe for 8 frames, with 16 over the same video.

    mim train mmstadapter side4video_vit-e_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-e_k400.py'

clip_len = 16
