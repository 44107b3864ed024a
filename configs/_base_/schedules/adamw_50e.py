"""Something-Something v2 schedule of the released ST-Adapter scripts: 50 epochs of 256 clips.

As `adamw_12e.py`, with AdamW at 1e-3.
"""

_base_ = 'adamw_12e.py'

train_cfg = dict(max_epochs=50)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=256)
