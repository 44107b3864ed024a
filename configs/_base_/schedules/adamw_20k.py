"""Kinetics-400, ViT-B, in the ST-Adapter paper (Table 6): 20,000 steps of 128 clips at 5e-4.

Weight decay 0.01. Warm-up from 0 and cosine to 0 are the released scripts', the warm-up for the
same share of the training, a sixth. Counted in steps, so that it does not depend on how many of
the videos one has.
"""

_base_ = 'adamw_12e.py'

train_cfg = dict(
    _delete_=True, type='mmstadapter.StepTrainLoop', max_steps=20000, val_interval=5
)  # validate every 5 epochs and after the last
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=3333, by_epoch=False)]
auto_scale_lr = dict(base_batch_size=128)
