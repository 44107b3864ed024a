"""Attentive pooling, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 21.5 top-1.

ST-Adapter's Table 1: attention over time instead of the mean over time; 2.36 M tuned
parameters, without the classifier. Trained as ST-Adapter is (appendix).

    mim train mmstadapter attnpool_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'linear_vit-b_ssv2.py'

model = dict(backbone=dict(type='mmstadapter.AttnPoolViT'))
