"""Temporal fine-tuning, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 81.3 top-1.

ST-Adapter's Table 1, architecture SA + TA: TimeSformer's temporal attention in a frozen trunk;
35.8 M tuned parameters. Trained as ST-Adapter is (appendix).

    mim train mmstadapter temporal_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(type='mmstadapter.TimeSformerViT', num_frames=8))
