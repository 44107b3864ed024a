"""ST-Adapter 12x384 in CLIP ViT-B/16 for retrieval, else as `side4video_vit-b_retrieval.py`."""

_base_ = 'side4video_vit-b_retrieval.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmstadapter.STAdapterViT',
        trunk=dict(_base_.trunk, tune='after_blocks', with_proj=True),
        bottleneck_dims=384,
        kernel_size=(3, 1, 1),
        positions=('after_attn',),
        output='frames',
    )
)
