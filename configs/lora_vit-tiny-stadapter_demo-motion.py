"""LoRA beside ST-Adapter, tiny CLIP, 8 frames, moving digits: which way it moves.

mim train mmstadapter lora_vit-tiny-stadapter_demo-motion.py
"""

_base_ = 'stadapter_vit-tiny_demo-motion.py'

model = dict(backbone=dict(trunk=dict(lora=dict(r=8, alpha=16, targets=('q', 'v')))))
