"""ST-Adapter 24x384, CLIP ViT-L/14, 8 frames, Something-Something V2. Paper: 70.0 top-1 (Table 3).

One adapter a block here too, 50,000 steps of 128 clips at 5e-4 (paper, Table 6); there is no
released script for L/14, so the adapter has the released form, after attention and without
activation. 8 GPUs x 16 clips.

    mim train mmstadapter stadapter_vit-l_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/stadapter_vit-l.py',
    '_base_/datasets/ssv2.py',
    '_base_/schedules/adamw_50k.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174))
train_dataloader = dict(batch_size=16)
