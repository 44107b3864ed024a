"""AIM, CLIP ViT-B/16, 32 frames, Diving-48. Released code: 88.9 top-1.

The released file tests three squares, its README says one.
50 epochs, blocks recomputed in the backward pass. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-b_diving48_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-b.py',
    '_base_/datasets/diving48.py',
    '_base_/schedules/adamw_aim.py',
    '_base_/default_runtime.py',
]

model = dict(backbone=dict(recompute='block'), cls_head=dict(num_classes=48))
train_cfg = dict(max_epochs=50)
