"""DoRA in both towers, CLIP ViT-B/16, mean of 12 frames, MSR-VTT 1k-A. No figure published.

`lora_vit-b_msrvtt.py` with a trained length for each output: 522,241 tuned parameters.

    mim train mmstadapter dora_vit-b_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'lora_vit-b_msrvtt.py'

model = dict(
    backbone=dict(trunk=dict(lora=dict(dora=True))),
    text_tower=dict(lora=dict(dora=True)),
)
