"""TimeSformer, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 66.1 top-1.

ST-Adapter's Table 1, full fine-tuning of SA + TA: divided space-time attention, all trained, the
trunk at 1/100 of the learning rate and weight decay (appendix); 121.57 M tuned parameters. The
schedule is ST-Adapter's; the paper takes that of "the original paper".

    mim train mmstadapter timesformer_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'full_vit-b_ssv2.py'

model = dict(backbone=dict(type='mmstadapter.TimeSformerViT', num_frames=8))
