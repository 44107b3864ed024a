"""Something-Something V2 in the ST-Adapter paper (Table 6): 50,000 steps of 128 clips at 5e-4.

As `adamw_20k.py`, with the released warm-up for this data set, a 25th of the training.
"""

_base_ = 'adamw_20k.py'

train_cfg = dict(max_steps=50000)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=2000, by_epoch=False)]
