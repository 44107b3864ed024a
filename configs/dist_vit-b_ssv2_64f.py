"""DiST 32+64 frames, CLIP ViT-B/16, Something-Something V2. Released code: 70.9 top-1.

The recipe for 8+16 frames. Layers are recomputed in the backward pass.

    mim train mmstadapter dist_vit-b_ssv2_64f.py --launcher pytorch --gpus 8
"""

_base_ = 'dist_vit-b_ssv2_16f.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 64
