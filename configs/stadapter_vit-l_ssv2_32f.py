"""ST-Adapter 24x384, CLIP ViT-L/14, 32 frames, Something-Something V2. Paper: 72.3 top-1 (Table 3).

The recipe for 8 frames, with 32 equal segments of the whole video (paper, Table 6). Blocks
are recomputed in the backward pass, so that 8 GPUs x 16 clips still fit.

    mim train mmstadapter stadapter_vit-l_ssv2_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'stadapter_vit-l_ssv2.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 32
