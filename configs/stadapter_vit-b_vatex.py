"""ST-Adapter 12x384, CLIP ViT-B/16, 12 frames, VATEX. No figure published.

Side4Video's retrieval recipe with adapters in the image encoder instead of a network beside it:
adapters, final norm, projection and text tower are trained. 8 GPUs x 16 pairs.

    mim train mmstadapter stadapter_vit-b_vatex.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_vatex.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmstadapter.STAdapterViT',
        trunk=dict(_base_.trunk, tune='last_0', with_proj=True),
        bottleneck_dims=384,
        kernel_size=(3, 1, 1),
        positions=('after_attn',),
        output='frames',
    )
)
