"""Side4Video 12x320, CLIP ViT-B/32, 16 frames, Something-Something V2. The paper has no result.

The recipe for 8 frames, with 16 over the same video.

    mim train mmstadapter side4video_vit-b32_ssv2_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b32_ssv2.py'

clip_len = 16
