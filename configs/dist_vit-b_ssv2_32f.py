"""DiST 16+32 frames, CLIP ViT-B/16, Something-Something V2. Released code: 70.2 top-1.

The recipe for 8+16 frames.

    mim train mmstadapter dist_vit-b_ssv2_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'dist_vit-b_ssv2_16f.py'

clip_len = 32
