"""DoRA, CLIP ViT-B/16, 8 frames, Something-Something V2. No figure published.

`lora_vit-b_ssv2.py` with a trained length for each output (Liu et al., 2024): 447,150 tuned
parameters.

    mim train mmstadapter dora_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'lora_vit-b_ssv2.py'

model = dict(backbone=dict(trunk=dict(lora=dict(dora=True))))
