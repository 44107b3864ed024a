"""ST-Adapter 12x384, PE-Core ViT-B/16, 12 frames, MSR-VTT 1k-A. No figure published.

Begins as `zeroshot_vit-b-pe_msrvtt.py`: adapters, final norm, attention pooling,
projection and the text tower are trained by contrast, at the rates of Side4Video's
retrieval recipe. 8 GPUs x 16 pairs.

    mim train mmstadapter stadapter_vit-b-pe_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'zeroshot_vit-b-pe_msrvtt.py'

model = dict(
    backbone=dict(
        type='mmstadapter.STAdapterViT',
        trunk=dict(tune='after_blocks'),
        bottleneck_dims=384,
        kernel_size=(3, 1, 1),
        positions=('after_attn',),
    ),
    text_tower=dict(tune='all'),
)
