"""ZeroI2V, CLIP ViT-L/14, 32 frames 4 apart, Kinetics-400. Released code: 87.2 top-1.

Two more heads look two frames back; a part of a quarter of the clips is erased. 8 GPUs x 2 clips,
two batches a step.

    mim train mmstadapter zeroi2v_vit-l_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'zeroi2v_vit-l_k400.py'

model = dict(backbone=dict(shifts=[(-1, 8), (1, 8), (-2, 8)]))
clip_len = 32
frame_interval = 4
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        pipeline=[
            dict(type='mmstadapter.VideoInit'),
            dict(
                type='SampleFrames', clip_len=clip_len, frame_interval=frame_interval, num_clips=1
            ),
            dict(type='mmstadapter.VideoDecode'),
            dict(type='Resize', scale=(-1, 256)),
            dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-inc1'),
            dict(type='RandomResizedCrop'),
            dict(type='Resize', scale=(224, 224), keep_ratio=False),
            dict(type='Flip', flip_ratio=0.5),
            dict(type='RandomErasing', erase_prob=0.25, mode='rand'),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackActionInputs'),
        ]
    ),
)
optim_wrapper = dict(accumulative_counts=2)
auto_scale_lr = dict(base_batch_size=32)
