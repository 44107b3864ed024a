"""LoRA in both towers, tiny CLIP, mean of 8 frames, moving digits by caption.

The frames' order plays no part: at most 50.0 R@1. Needs peft: `pip install 'mmstadapter[peft]'`.

    mim train mmstadapter lora_vit-tiny_demo-captions.py
"""

_base_ = 'clip4clip_vit-tiny-frozen_demo-captions.py'

lora = dict(r=8, alpha=16, targets=('q', 'v'))
model = dict(
    backbone=dict(trunk=dict(tune='none', lora=lora)),
    text_tower=dict(tune='none', lora=lora),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.trunk': dict(lr_mult=1.0)}))
