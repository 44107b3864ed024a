"""DiST 32+64 frames, CLIP ViT-B/16, Kinetics-400. Released code: 85.0 top-1.

The recipe for 8+16 frames. Layers are recomputed in the backward pass.

    mim train mmstadapter dist_vit-b_k400_64f.py --launcher pytorch --gpus 8
"""

_base_ = 'dist_vit-b_k400_16f.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 64
