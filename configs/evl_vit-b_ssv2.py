"""EVL, CLIP ViT-B/16, 8 frames, Something-Something V2. In Side4Video's Table 2: 61.0 top-1.

A decoder layer for every layer of the trunk. No script for this data set is released: the
schedule is that of Kinetics-400. 8 GPUs x 32 clips.

    mim train mmstadapter evl_vit-b_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/evl_vit-b.py',
    '_base_/datasets/ssv2_evl.py',
    '_base_/schedules/adamw_evl.py',
    '_base_/default_runtime.py',
]
model = dict(backbone=dict(blocks='all'), cls_head=dict(num_classes=174))
