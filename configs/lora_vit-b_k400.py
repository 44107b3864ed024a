"""LoRA, CLIP ViT-B/16, 8 frames, Kinetics-400. No figure published.

Rank 8 beside queries and values of all blocks, as in LoRA's paper, a classifier on the mean of
the frames: 602,512 tuned parameters. Frames are seen one by one: LoRA changes what is seen in a
frame, not what is known of time. Trained as ST-Adapter is. Needs peft: `pip install
'mmstadapter[peft]'`.

    mim train mmstadapter lora_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(trunk=dict(lora=dict(r=8, alpha=16, targets=('q', 'v')))))
