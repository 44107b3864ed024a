"""LoRA in both towers, CLIP ViT-B/16, mean of 12 frames, MSR-VTT 1k-A. No figure published.

Rank 8 beside queries and values of the image and the text tower, all else frozen: 491,521 tuned
parameters with the scale. As `clip4clip_vit-b_msrvtt.py`, at 6e-4, TempMe's rate for its LoRA.
8 GPUs x 16 pairs. Needs peft: `pip install 'mmstadapter[peft]'`.

    mim train mmstadapter lora_vit-b_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b_msrvtt.py'

lora = dict(r=8, alpha=16, targets=('q', 'v'))
model = dict(
    backbone=dict(trunk=dict(tune='none', lora=lora)),
    text_tower=dict(tune='none', lora=lora),
)
optim_wrapper = dict(
    optimizer=dict(lr=6e-4),
    paramwise_cfg=dict(lr_mult=dict(_delete_=True, logit_scale=1e-3)),
)
