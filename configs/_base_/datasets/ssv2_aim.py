"""Something-Something V2, 8 frames from equal segments, as the released AIM code has it.

Folders and lists are those of `ssv2.py`. 8 clips a GPU; a short side of 256, a random part to
224, RandAugment (4 operations at 7, of the released code's imgaug form; here the package's),
a quarter of the clips with a part erased; no mirroring. Between epochs one centred square is
validated; the final test takes 1 clip x 3 squares, one video at a time, softmax averaged.
"""

_base_ = 'ssv2.py'

train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=8),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-inc1'),
    dict(type='RandomErasing', erase_prob=0.25, fill_color=(123, 117, 104)),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=8, test_mode=True),
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
        steps=dict(Resize=dict(scale=(-1, 224)), CenterCrop=dict(type='ThreeCrop')),
    )
)
