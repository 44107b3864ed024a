"""Side4Video 32x320 beside EVA-CLIP ViT-E/14 for retrieval: 12 frames, 32 words, token by token.

Every second of the 64 layers is read; side blocks end with their norms and are recomputed in
the backward pass. Initial values and head are those of the released EVA-CLIP model.
"""

_base_ = '../trunks/eva_vit-e-p14.py'

model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.Side4VideoViT',
        trunk=dict(_base_.trunk, tune='after_blocks', with_proj=True),
        side_dims=320,
        layers='interval',
        norm='post',
        output='frames',
        recompute='block',
    ),
    text_tower=dict(type='mmstadapter.EVAText', arch='eva-e', checkpoint=_base_.trunk.checkpoint),
    tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=32),
    similarity=dict(
        type='mmstadapter.TokenSimilarity', embed_dims=1024, mask='released', init_std=None
    ),
    loss=dict(type='mmstadapter.ContrastiveLoss', positives='own'),
    gather='exact',
    num_frames=12,
)
