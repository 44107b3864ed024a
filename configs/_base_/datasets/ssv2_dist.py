"""Something-Something V2, 16 frames spread over the video, as the released DiST code has it.

Folders and lists are those of `ssv2.py`. 32 clips a GPU in training: grey every fifth time (of the
released colour jitter nothing else is drawn, its probability is 0), a random part of the frames
to 224, bilinear, mirrored half of the time, when "left to right" becomes "right to left".
Tested with 3 clips x centre, one video at a time, softmax averaged by the head.
"""

_base_ = 'ssv2.py'

# Pulling and pushing something from left to right / right to left, turning the camera left / right.
flip_label_map = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}

clip_len = 16
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleEvenly', clip_len=clip_len),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandomGrey', p=0.2),
    dict(
        type='mmstadapter.RandomResizedSquare',
        size=224,
        area=(0.4, 1.0),
        aspect=(0.75, 1.333),
        interpolation='bilinear',
    ),
    dict(type='Flip', flip_ratio=0.5, flip_label_map=flip_label_map),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleEvenly', clip_len=clip_len, num_views=3, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=224, interpolation='bilinear'),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
