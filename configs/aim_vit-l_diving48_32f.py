"""AIM, CLIP ViT-L/14, 32 frames, Diving-48. Released code: 90.6 top-1.

One centred square in testing, and one rate for all, as released.
50 epochs, blocks recomputed in the backward pass. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-l_diving48_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-l.py',
    '_base_/datasets/diving48.py',
    '_base_/schedules/adamw_aim.py',
    '_base_/default_runtime.py',
]

model = dict(backbone=dict(recompute='block'), cls_head=dict(num_classes=48))
train_cfg = dict(max_epochs=50)
test_dataloader = dict(dataset=dict(steps=dict(ThreeCrop=dict(type='CenterCrop'))))
