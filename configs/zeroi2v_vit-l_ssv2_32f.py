"""ZeroI2V, CLIP ViT-L/14, 32 frames, Something-Something V2. Released code: 72.2 top-1.

Heads look one, two and (back) three frames away, scale 1, 50 epochs. 8 GPUs x 2 clips, two batches
a step.

    mim train mmstadapter zeroi2v_vit-l_ssv2_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/zeroi2v_vit-l.py',
    '_base_/datasets/ssv2_zeroi2v.py',
    '_base_/schedules/adamw_zeroi2v_large.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(shifts=[(-1, 8), (1, 8), (-2, 16), (2, 16), (-3, 16)], scale=1.0),
    cls_head=dict(num_classes=174, label_smooth_eps=0.1),
)
clip_len = 32
train_cfg = dict(max_epochs=50)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(accumulative_counts=2)
auto_scale_lr = dict(base_batch_size=32)
