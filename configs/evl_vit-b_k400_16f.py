"""EVL, CLIP ViT-B/16, 16 frames 16 apart, Kinetics-400. Released code: 83.7 top-1.

The recipe for 8 frames; tested with 1 clip x 3 squares.

    mim train mmstadapter evl_vit-b_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'evl_vit-b_k400.py'

clip_len = 16
num_views = 1
num_crops = 3
