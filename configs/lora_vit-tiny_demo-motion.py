"""LoRA, tiny CLIP, 8 frames, moving digits: which way it moves.

Rank 8 beside queries and values, a classifier on the mean of the frames, whose order plays no
part: at most 50.0 %. Needs peft: `pip install 'mmstadapter[peft]'`.

    mim train mmstadapter lora_vit-tiny_demo-motion.py
"""

_base_ = 'linear_vit-tiny_demo-motion.py'

model = dict(backbone=dict(trunk=dict(lora=dict(r=8, alpha=16, targets=('q', 'v')))))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
