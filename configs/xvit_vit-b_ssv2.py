"""XViT, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 62.0 top-1.

ST-Adapter's Table 1, full fine-tuning of SA + TS: keys and values mix the channels of
neighbouring frames, all trained, the trunk at 1/100 of the learning rate and weight decay
(appendix); 93.79 M tuned parameters. The schedule is ST-Adapter's; the paper takes that of
"the original paper".

    mim train mmstadapter xvit_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'full_vit-b_ssv2.py'

model = dict(backbone=dict(type='mmstadapter.XViT', num_frames=8))
