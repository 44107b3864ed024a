"""Side4Video 12x320, CLIP ViT-B/32, 32 frames, Kinetics-400. The paper has no result.

The recipe for 8 frames, with 32 over the same video. Side blocks are recomputed in the backward
pass, for memory.

    mim train mmstadapter side4video_vit-b32_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b32_k400.py'

model = dict(backbone=dict(with_cp=True))
clip_len = 32
