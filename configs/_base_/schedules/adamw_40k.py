"""Kinetics-400, ViT-L, in the ST-Adapter paper (Table 6): 40,000 steps of 128 clips at 5e-4.

As `adamw_20k.py`.
"""

_base_ = 'adamw_20k.py'

train_cfg = dict(max_steps=40000)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=6667, by_epoch=False)]
