"""Side4Video 24x512, CLIP ViT-L/14, 16 frames, Kinetics-400. Paper: 87.0 top-1 (Table 5).

The recipe for 8 frames, with 16 over the same video. Side blocks are recomputed in the backward
pass, for memory.

    mim train mmstadapter side4video_vit-l_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-l_k400.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 16
