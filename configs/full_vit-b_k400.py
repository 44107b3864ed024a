"""Full fine-tuning, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 81.0 top-1.

ST-Adapter's Table 1, architecture SA: the trunk is trained at 1/100 of the learning rate and
weight decay (appendix); 86.11 M tuned parameters. The schedule is ST-Adapter's; the paper
takes that of "the original paper".

    mim train mmstadapter full_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(trunk=dict(tune='all')))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone.trunk': dict(lr_mult=0.01, decay_mult=0.01)})
)
