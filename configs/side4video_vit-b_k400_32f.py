"""Side4Video 12x320, CLIP ViT-B/16, 32 frames, Kinetics-400. Paper: 84.2 top-1 (Table 5).

The recipe for 8 frames, with 32 over the same video. Side blocks are recomputed in the backward
pass, for memory.

    mim train mmstadapter side4video_vit-b_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_k400.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 32
