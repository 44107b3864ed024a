"""DiST 16+32 frames, CLIP ViT-B/16, Kinetics-400. Released code: 84.4 top-1.

The recipe for 8+16 frames.

    mim train mmstadapter dist_vit-b_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'dist_vit-b_k400_16f.py'

clip_len = 32
