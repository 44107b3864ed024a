"""ST-Adapter 12x384, CLIP ViT-B/16, 16 frames 8 apart, Kinetics-400. Paper: 82.5 top-1 (Table 2).

The released recipe for 8 frames over the same 128 frames of a video (paper, Table 6). Blocks
are recomputed in the backward pass, so that 3 GPUs x 64 clips still fit.

    mim train mmstadapter stadapter_vit-b_k400_16f.py --launcher pytorch --gpus 3
"""

_base_ = 'stadapter_vit-b_k400.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 16
frame_interval = 8
