"""Linear probe, tiny CLIP, 8 frames, moving digits: which way it moves.

A classifier on the mean of the frames' class tokens; it reaches the bound of 50.0 % for
models that do not look at the order of frames, and cannot pass it.

    mim train mmstadapter linear_vit-tiny_demo-motion.py
"""

_base_ = 'stadapter_vit-tiny_demo-motion.py'

model = dict(backbone=dict(_delete_=True, type='mmstadapter.FrameMeanViT', trunk=_base_.trunk))
optim_wrapper = dict(optimizer=dict(lr=1e-2))
