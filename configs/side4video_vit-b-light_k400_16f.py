"""Side4Video light 6x192, CLIP ViT-B/16, 16 frames, Kinetics-400. The paper has no result.

The recipe for 8 frames, with 16 over the same video.

    mim train mmstadapter side4video_vit-b-light_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b-light_k400.py'

clip_len = 16
