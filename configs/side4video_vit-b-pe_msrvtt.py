"""Side4Video 12x320, PE-Core ViT-B/16, 12 frames, MSR-VTT 1k-A. No figure published.

Begins as `zeroshot_vit-b-pe_msrvtt.py`: side network, final norm, attention pooling,
projection and the text tower are trained by contrast, at the rates of Side4Video's
retrieval recipe, means of frames compared with sentences. 8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-b-pe_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'zeroshot_vit-b-pe_msrvtt.py'

model = dict(
    backbone=dict(
        type='mmstadapter.Side4VideoViT',
        trunk=dict(tune='after_blocks'),
        side_dims=320,
        layers='all',
        norm='pre',
        cls_position=True,
    ),
    text_tower=dict(tune='all'),
)
