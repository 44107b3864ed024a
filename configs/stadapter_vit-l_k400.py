"""ST-Adapter 24x384, CLIP ViT-L/14, 8 frames, Kinetics-400. Paper: 86.7 top-1 (Table 2).

One adapter a block, 40,000 steps of 128 clips at 5e-4 (paper, Table 6); there is no released
script for L/14, so the adapter has the released form, after attention and without activation.
8 GPUs x 16 clips.

    mim train mmstadapter stadapter_vit-l_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/stadapter_vit-l.py',
    '_base_/datasets/k400.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
train_dataloader = dict(batch_size=16)
