"""Attentive pooling, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 75.3 top-1.

ST-Adapter's Table 1: attention over time instead of the mean over time; 2.36 M tuned
parameters, without the classifier. Trained as ST-Adapter is (appendix).

    mim train mmstadapter attnpool_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(type='mmstadapter.AttnPoolViT'))
