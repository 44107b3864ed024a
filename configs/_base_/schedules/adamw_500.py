"""From a Kinetics-400 adapter to a small data set, in the ST-Adapter paper's appendix.

500 steps of 128 clips; the classifier at 5e-4 and decay 0.01, the adapters at a tenth of both.
Biases do not decay and the warm-up takes a sixth of the training, as for Kinetics.
"""

_base_ = 'adamw_20k.py'

train_cfg = dict(max_steps=500)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=83, by_epoch=False)]
optim_wrapper = dict(
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        custom_keys={  # a key leaves no other rule, so the adapters' biases have their own
            'backbone': dict(lr_mult=0.1, decay_mult=0.1),
            '.fc1.bias': dict(lr_mult=0.1, decay_mult=0.0),
            '.conv.bias': dict(lr_mult=0.1, decay_mult=0.0),
            '.fc2.bias': dict(lr_mult=0.1, decay_mult=0.0),
        },
    )
)
