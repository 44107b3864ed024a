"""ZeroI2V, CLIP ViT-B/16, 8 frames, UCF101, as released; no figure is published.

Mean top-1 of three splits: `--cfg-options split=2` takes another than the first. 4 GPUs x 16 clips.

    mim train mmstadapter zeroi2v_vit-b_ucf101.py --launcher pytorch --gpus 4
"""

_base_ = [
    '_base_/models/zeroi2v_vit-b.py',
    '_base_/datasets/ucf101_zeroi2v.py',
    '_base_/schedules/adamw_zeroi2v.py',
    '_base_/default_runtime.py',
]

model = dict(cls_head=dict(num_classes=101))
