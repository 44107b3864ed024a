"""Frames by the frozen tiny CLIP, their mean, a trained text tower: moving digits by caption.

Final norm, projection and text tower are trained as in `stadapter_vit-tiny_demo-captions.py`.
The frames' order plays no part: at most 50.0 R@1.

    mim train mmstadapter clip4clip_vit-tiny-frozen_demo-captions.py
"""

_base_ = 'stadapter_vit-tiny_demo-captions.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmstadapter.FrameMeanViT',
        trunk=dict(_base_.trunk, tune='after_blocks', with_proj=True),
        output='frames',
    )
)
