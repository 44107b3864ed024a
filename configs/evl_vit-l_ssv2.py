"""EVL, CLIP ViT-L/14, 8 frames, Something-Something V2. In Side4Video's Table 2: 65.1 top-1.

A decoder layer for every layer of the trunk, 350 M tuned parameters as in that table. No script
for this data set is released: the schedule is that of Kinetics-400. 8 GPUs x 32 clips.

    mim train mmstadapter evl_vit-l_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/evl_vit-l.py',
    '_base_/datasets/ssv2_evl.py',
    '_base_/schedules/adamw_evl.py',
    '_base_/default_runtime.py',
]
model = dict(backbone=dict(blocks='all'), cls_head=dict(num_classes=174))
