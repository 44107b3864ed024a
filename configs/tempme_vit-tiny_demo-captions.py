"""TempMe, tiny CLIP, 8 frames, moving digits by caption: tokens merge across frames.

Low-rank maps in both towers and the joined clips' vectors are trained together; else as
`stadapter_vit-tiny_demo-captions.py`.

    mim train mmstadapter tempme_vit-tiny_demo-captions.py
"""

_base_ = 'stadapter_vit-tiny_demo-captions.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmstadapter.TempMeViT',
        trunk=dict(_base_.trunk, with_proj=True),
        num_frames=8,
        merge_layers=(1, 2),
        merge_frames=(2, 4),
        output='frames',
    ),
    text_tower=dict(type='mmstadapter.TempMeText', tune='none'),
    train_scale=False,
)
