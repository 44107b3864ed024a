r"""PE-Core ViT-B/16 for retrieval: both towers frozen, mean of 12 frames, 32 tokens.

Needs timm: pip install 'mmstadapter[timm]'. The file is fetched by hand, once; that of the
authors (facebook/PE-Core-B16-224, PE-Core-B16-224.pt) works as well:

    hf download timm/PE-Core-B-16 open_clip_model.safetensors open_clip_config.json \
        --local-dir checkpoints/PE-Core-B-16
"""

_base_ = '../trunks/timm_pe-core_vit-b-p16.py'

trunk = dict(checkpoint='checkpoints/PE-Core-B-16/open_clip_model.safetensors')
model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.FrameMeanViT',
        trunk=dict(_base_.trunk, with_proj=True) | trunk,
        output='frames',
    ),
    text_tower=dict(type='mmstadapter.PEText', arch='pe-core-b', tune='none') | trunk,
    tokenizer=dict(type='mmstadapter.CLIPTokenizer', context_length=32),
    similarity=dict(type='mmstadapter.MeanPoolSimilarity'),
    loss=dict(type='mmstadapter.ContrastiveLoss', positives='own'),
    gather='exact',
    num_frames=12,
)
