"""Temporal fine-tuning, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 59.4 top-1.

ST-Adapter's Table 1, architecture SA + TA: TimeSformer's temporal attention in a frozen trunk;
35.8 M tuned parameters. Trained as ST-Adapter is (appendix).

    mim train mmstadapter temporal_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'linear_vit-b_ssv2.py'

model = dict(backbone=dict(type='mmstadapter.TimeSformerViT', num_frames=8))
