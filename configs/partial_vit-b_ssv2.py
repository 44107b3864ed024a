"""Partial fine-tuning, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 37.6 top-1.

ST-Adapter's Table 1, architecture SA: the last block, the norm behind it and the classifier;
7.40 M tuned parameters. The schedule is ST-Adapter's; the paper takes that of "the original
paper".

    mim train mmstadapter partial_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'linear_vit-b_ssv2.py'

model = dict(backbone=dict(trunk=dict(tune='last_1')))
