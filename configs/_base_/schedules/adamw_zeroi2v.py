"""Schedule of the released ZeroI2V configs: 40 epochs of 64 clips a step.

As `adamw_aim.py`; the time positions do not decay either.
"""

_base_ = 'adamw_aim.py'

train_cfg = dict(max_epochs=40)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'time_embed': dict(decay_mult=0.0)}))
