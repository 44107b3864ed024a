"""LoRA beside ST-Adapter, CLIP ViT-B/16, 8 frames, Something-Something V2. No figure published.

The released 24x384 ST-Adapters, which see time, and LoRA of rank 8 beside queries and values:
14,649,006 tuned parameters.

    mim train mmstadapter lora_vit-b-stadapter_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'stadapter_vit-b_ssv2.py'

model = dict(backbone=dict(trunk=dict(lora=dict(r=8, alpha=16, targets=('q', 'v')))))
