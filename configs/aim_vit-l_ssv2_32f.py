"""AIM, CLIP ViT-L/14, 32 frames, Something-Something V2. Published: 70.6 (Side4Video, Table 4).

Blocks are recomputed in the backward pass. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-l_ssv2_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'aim_vit-l_ssv2.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 32
