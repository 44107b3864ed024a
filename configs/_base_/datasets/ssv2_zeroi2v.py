"""Something-Something V2, 16 frames, as the released ZeroI2V code trains and tests it.

As `ssv2_aim.py`, with 4 clips a GPU. Half of the clips are mirrored, and "left to right" becomes
"right to left" then; RandAugment comes after that, in the released code pytorchvideo's.
"""

_base_ = 'ssv2_aim.py'

# Pulling and pushing something from left to right / right to left, turning the camera left / right.
flip_label_map = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}

clip_len = 16
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='UniformSample', clip_len=clip_len),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5, flip_label_map=flip_label_map),
    dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-inc1'),
    dict(type='RandomErasing', erase_prob=0.25),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
uniform = dict(SampleSegments=dict(type='UniformSample'))

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(steps=uniform))
test_dataloader = dict(dataset=dict(steps=uniform))
