"""Side4Video 32x576, EVA-CLIP ViT-E/14, 16 frames, Something-Something V1.

Paper: 67.3 top-1 (Table 4). The recipe for 8 frames, with 16 over the same video.

    mim train mmstadapter side4video_vit-e_ssv1_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-e_ssv1.py'

clip_len = 16
