"""Kinetics-400, 8 frames 16 apart, as the released AIM code trains and tests it.

Folders and lists are those of `k400.py`. 8 clips a GPU in training, in MMAction2's usual way: a
short side of 256, a random part to 224, mirrored half of the time; a short video starts again.
Between epochs one centred square is validated; the final test takes 3 clips x centre, each clip
in the middle of its third of the possible starts, one video at a time, softmax averaged.
"""

_base_ = 'k400.py'

train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=16, num_clips=1),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='mmstadapter.SampleMiddles',
        clip_len=8,
        frame_interval=16,
        num_clips=1,
        test_mode=True,
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(
    dataset=dict(
        pipeline=val_pipeline,
        steps=dict(SampleMiddles=dict(num_clips=3), Resize=dict(scale=(-1, 224))),
    )
)
