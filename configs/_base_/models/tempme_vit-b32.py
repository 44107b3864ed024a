"""TempMe with the released defaults, CLIP ViT-B/32: 12 frames, 32 words, both towers frozen.

Trained are low-rank maps of rank 8 beside the attentions of both towers and a vector for each clip
that is joined, nothing of CLIP, not even the logit scale.
"""

_base_ = '../trunks/clip_vit-b-p32.py'

model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.TempMeViT',
        trunk=dict(_base_.trunk, with_proj=True),
        num_frames=12,
        merge_layers=(8, 9, 10),
        merge_frames=(2, 2, 3),
        proportions=(0.3, 0.1),
        tome_r=2,
        lora_dims=8,
        output='frames',
    ),
    text_tower=dict(
        type='mmstadapter.TempMeText', arch='clip-b', checkpoint='openai/ViT-B-32', lora_dims=8
    ),
    tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=32),
    similarity=dict(type='mmstadapter.MeanPoolSimilarity', normalise_frames=True),
    loss=dict(type='mmstadapter.ContrastiveLoss', positives='own'),
    gather='exact',
    num_frames=12,
    train_scale=False,
)
