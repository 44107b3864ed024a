"""Side4Video 32x576, EVA-CLIP ViT-E/14, 32 frames, Something-Something V1. The paper has no result.

The recipe for 8 frames, with 32 over the same video.

    mim train mmstadapter side4video_vit-e_ssv1_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-e_ssv1.py'

clip_len = 32
