"""Partial fine-tuning, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 80.1 top-1.

ST-Adapter's Table 1, architecture SA: the last block, the norm behind it and the classifier;
7.40 M tuned parameters. The schedule is ST-Adapter's; the paper takes that of "the original
paper".

    mim train mmstadapter partial_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(trunk=dict(tune='last_1')))
