"""ST-Adapter 4x48 and the text tower, tiny CLIP, 8 frames, moving digits: search by caption.

Adapters, final norm, projection and text tower are trained together from the start. Other
captions of a batch are negatives of a caption, too (`text_negatives`): otherwise the text tower
makes opposite motions one before the adapters see a motion. Figures: docs/leaderboard.md; models
that do not look at the order of frames reach at most 50.0 R@1.

    mim train mmstadapter stadapter_vit-tiny_demo-captions.py
"""

_base_ = [
    '_base_/trunks/clip_vit-tiny.py',
    '_base_/text_towers/clip_text-tiny.py',
    '_base_/datasets/demo_captions.py',
    '_base_/schedules/adamw_demo.py',
    '_base_/retrieval_runtime.py',
]
model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.STAdapterViT',
        trunk=dict(_base_.trunk, tune='after_blocks', with_proj=True),
        bottleneck_dims=48,
        kernel_size=(3, 1, 1),
        positions=('before_attn',),
        output='frames',
    ),
    text_tower=_base_.text_tower,
    tokenizer=_base_.tokenizer,
    similarity=dict(type='mmstadapter.MeanPoolSimilarity'),
    loss=dict(type='mmstadapter.ContrastiveLoss', text_negatives=1.0),
    num_frames=8,
)
# The pretrained norm and projection of the image model at a quarter of the rate.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.trunk': dict(lr_mult=0.25)}))
