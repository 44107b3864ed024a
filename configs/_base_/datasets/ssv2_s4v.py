"""Something-Something V2, 8 frames, as the released Side4Video trains and tests it.

Folders and lists are those of `ssv2.py`. 16 videos a GPU with 2 differently augmented clips of
each (`num_sample`, 32 clips a step); RandAugment, all frames to 256 x 320 whatever their shape, a
random part of them to 224. Half of them are mirrored, and "left to right" becomes "right to
left" then. Between epochs one centred square is validated; the final test takes 2 clips x 3
squares, one video at a time, softmax averaged by the head.

E/14 trains with 8 videos a GPU.
"""

_base_ = 'ssv2.py'

# Pulling and pushing something from left to right / right to left, turning the camera left / right.
flip_label_map = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}

clip_len = 8
num_views = 2  # of the final test
num_crops = 3
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSide4Video', clip_len=clip_len, rule='something'),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
    dict(type='mmstadapter.PILResize', size=(256, 320)),
    dict(type='mmstadapter.PILRandomSquare', size=224),
    dict(type='Flip', flip_ratio=0.5, flip_label_map=flip_label_map),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSide4Video', clip_len=clip_len, rule='something', test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=(256, 320)),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='mmstadapter.SampleSide4Video',
        clip_len=clip_len,
        rule='something',
        num_views=num_views,
        test_mode=True,
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=(256, 320)),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=num_crops, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=16,
    collate_fn=dict(type='mmstadapter.flat_collate'),
    dataset=dict(pipeline=train_pipeline, num_sample=2),
)
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
