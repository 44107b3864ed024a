"""CLIP4Clip with mean-pooled frames, CLIP ViT-B/32: both encoders are trained, 12 frames, 32 words.

The mean of the frames' unit vectors is compared with the sentence (Luo et al., 2021,
"parameter-free type").
"""

_base_ = '../trunks/clip_vit-b-p32.py'

model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.FrameMeanViT',
        trunk=dict(_base_.trunk, tune='all', with_proj=True),
        output='frames',
    ),
    text_tower=dict(type='mmstadapter.CLIPText', arch='clip-b', checkpoint='openai/ViT-B-32'),
    tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=32),
    similarity=dict(type='mmstadapter.MeanPoolSimilarity', normalise_frames=True),
    loss=dict(type='mmstadapter.ContrastiveLoss', positives='own'),
    gather='exact',
    num_frames=12,
)
