"""Side4Video 32x576, EVA-CLIP ViT-E/14, 16 frames, Something-Something V2.

Paper: 75.2 top-1 (Table 4). The recipe for 8 frames, with 16 over the same video.

    mim train mmstadapter side4video_vit-e_ssv2_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-e_ssv2.py'

clip_len = 16
