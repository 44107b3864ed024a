"""Full fine-tuning, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 44.0 top-1.

ST-Adapter's Table 1, architecture SA: the trunk is trained at 1/100 of the learning rate and
weight decay (appendix); 86.11 M tuned parameters. The schedule is ST-Adapter's; the paper
takes that of "the original paper".

    mim train mmstadapter full_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'linear_vit-b_ssv2.py'

model = dict(backbone=dict(trunk=dict(tune='all')))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone.trunk': dict(lr_mult=0.01, decay_mult=0.01)})
)
