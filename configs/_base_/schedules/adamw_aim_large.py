"""As `adamw_aim.py`, with the backbone at a tenth of the rate, as released for ViT-L.

The longest name that fits rules, "backbone", so that here the last norm decays as well.
"""

_base_ = 'adamw_aim.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
