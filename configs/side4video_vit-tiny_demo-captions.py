"""Side4Video 4x48 and the text tower, tiny CLIP, 8 frames, moving digits: search by caption.

As `stadapter_vit-tiny_demo-captions.py`, with a side network instead of adapters.

    mim train mmstadapter side4video_vit-tiny_demo-captions.py
"""

_base_ = 'stadapter_vit-tiny_demo-captions.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmstadapter.Side4VideoViT',
        trunk=dict(_base_.trunk, tune='after_blocks', with_proj=True),
        side_dims=48,
        head_dims=16,
        output='frames',
    )
)
