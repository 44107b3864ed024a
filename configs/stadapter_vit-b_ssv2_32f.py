"""ST-Adapter 24x384, CLIP ViT-B/16, 32 frames, Something-Something V2. Paper: 69.5 top-1 (Table 3).

The released recipe for 8 frames, with 32 equal segments of the whole video (paper, Table 6).
Blocks are recomputed in the backward pass, so that 4 GPUs x 64 clips still fit.

    mim train mmstadapter stadapter_vit-b_ssv2_32f.py --launcher pytorch --gpus 4
"""

_base_ = 'stadapter_vit-b_ssv2.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 32
