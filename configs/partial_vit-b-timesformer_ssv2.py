"""Partly tuned TimeSformer, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 57.5 top-1.

ST-Adapter's Table 1, partial fine-tuning of SA + TA: temporal attention in the last block alone
(appendix), and that block trained; 10.36 M tuned parameters. The schedule is ST-Adapter's.

    mim train mmstadapter partial_vit-b-timesformer_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'partial_vit-b_ssv2.py'

model = dict(
    backbone=dict(type='mmstadapter.TimeSformerViT', num_frames=8, blocks='last_1'),
)
