"""LoRA in both towers, PE-Core ViT-B/16, mean of 12 frames, MSR-VTT 1k-A. No figure published.

Rank 8 beside queries and values of the image and the text tower, all else frozen but the logits'
scale. Begins as `zeroshot_vit-b-pe_msrvtt.py`, at 6e-4. 8 GPUs x 16 pairs. Needs peft besides:
`pip install 'mmstadapter[peft]'`.

    mim train mmstadapter lora_vit-b-pe_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'zeroshot_vit-b-pe_msrvtt.py'

lora = dict(r=8, alpha=16, targets=('q', 'v'))
model = dict(backbone=dict(trunk=dict(lora=lora)), text_tower=dict(lora=lora))
optim_wrapper = dict(
    optimizer=dict(lr=6e-4),
    paramwise_cfg=dict(lr_mult=dict(_delete_=True, logit_scale=1e-3)),
)
