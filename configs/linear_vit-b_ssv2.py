"""Linear probe, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 21.9 top-1.

ST-Adapter's Table 1: a classifier on the mean of the frames' class tokens; 0.31 M tuned
parameters, counted with 400 classes. Trained as ST-Adapter is (appendix).

    mim train mmstadapter linear_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = [
    '_base_/trunks/clip_vit-b-p16.py',
    '_base_/datasets/ssv2.py',
    '_base_/schedules/adamw_50e.py',
    '_base_/default_runtime.py',
]
model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mmstadapter.FrameMeanViT', trunk=_base_.trunk),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768, num_classes=174),
)
