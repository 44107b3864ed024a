"""ST-Adapter 24x384, CLIP ViT-B/16, 8 frames, Something-Something V2. Released code: 66.9 top-1.

Two adapters a block, before and after attention (paper, Table 3: 67.1 with 14.4 M tuned
parameters). 4 GPUs x 64 clips.

    mim train mmstadapter stadapter_vit-b_ssv2.py --launcher pytorch --gpus 4
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
    backbone=dict(
        type='mmstadapter.STAdapterViT',
        trunk=_base_.trunk,
        bottleneck_dims=384,
        kernel_size=(3, 1, 1),
        positions=('before_attn', 'after_attn'),
    ),
    cls_head=dict(type='mmstadapter.VideoHead', in_channels=768, num_classes=174),
)
