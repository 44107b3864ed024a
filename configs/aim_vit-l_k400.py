"""AIM, CLIP ViT-L/14, 8 frames 16 apart, Kinetics-400. Released code: 86.8 top-1.

The released file holds 32 frames 4 apart; fewer frames are farther apart, over the same 128.
Noise along the principal colours, the backbone at a tenth of the rate. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-l_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/aim_vit-l.py',
    '_base_/datasets/k400_aim.py',
    '_base_/schedules/adamw_aim_large.py',
    '_base_/default_runtime.py',
]

model = dict(cls_head=dict(num_classes=400))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmstadapter.VideoInit'),
            dict(type='SampleFrames', clip_len=8, frame_interval=16, num_clips=1),
            dict(type='mmstadapter.VideoDecode'),
            dict(type='Resize', scale=(-1, 256)),
            dict(type='RandomResizedCrop'),
            dict(type='Resize', scale=(224, 224), keep_ratio=False),
            dict(type='Flip', flip_ratio=0.5),
            dict(type='mmstadapter.PCANoise'),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackActionInputs'),
        ]
    )
)
