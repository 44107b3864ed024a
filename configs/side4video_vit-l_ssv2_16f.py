"""Side4Video 24x512, CLIP ViT-L/14, 16 frames, Something-Something V2. Paper: 73.2 top-1 (Table 4).

The recipe for 8 frames, with 16 over the same video. Side blocks are recomputed in the backward
pass, for memory.

    mim train mmstadapter side4video_vit-l_ssv2_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-l_ssv2.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 16
