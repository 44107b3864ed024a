"""Side4Video 12x320 beside CLIP ViT-B/16 for retrieval: 12 frames, 32 words, token by token.

The image encoder is frozen up to its final norm and projection; the side network, these and the
whole text tower are trained.
"""

_base_ = '../trunks/clip_vit-b-p16.py'

model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.Side4VideoViT',
        trunk=dict(_base_.trunk, tune='after_blocks', with_proj=True),
        side_dims=320,
        layers='all',
        norm='pre',
        cls_position=True,
        output='frames',
    ),
    text_tower=dict(type='mmstadapter.CLIPText', arch='clip-b', checkpoint='openai/ViT-B-16'),
    tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=32),
    similarity=dict(type='mmstadapter.TokenSimilarity', embed_dims=512, mask='released'),
    loss=dict(type='mmstadapter.ContrastiveLoss', positives='own'),  # 'skip': see docs/retrieval.md
    gather='exact',
    num_frames=12,
)
