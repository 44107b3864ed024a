"""ST-Adapter 24x384, CLIP ViT-L/14, 16 frames 8 apart, Kinetics-400. Paper: 86.9 top-1 (Table 2).

The recipe for 8 frames over the same 128 frames of a video (paper, Table 6). Blocks are
recomputed in the backward pass, so that 8 GPUs x 16 clips still fit.

    mim train mmstadapter stadapter_vit-l_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'stadapter_vit-l_k400.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 16
frame_interval = 8
