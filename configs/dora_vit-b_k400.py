"""DoRA, CLIP ViT-B/16, 8 frames, Kinetics-400. No figure published.

`lora_vit-b_k400.py` with a trained length for each output (Liu et al., 2024): 620,944 tuned
parameters.

    mim train mmstadapter dora_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'lora_vit-b_k400.py'

model = dict(backbone=dict(trunk=dict(lora=dict(dora=True))))
