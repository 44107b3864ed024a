r"""SigLIP 2 ViT-B/16 for retrieval: both towers frozen, mean of 12 frames, 64 tokens, sigmoid loss.

Needs timm and tokenizers: pip install 'mmstadapter[timm,tokenizers]'. The files are fetched by
hand, once; Hugging Face's of google/siglip2-base-patch16-224 (model.safetensors) work as well:

    hf download timm/ViT-B-16-SigLIP2 open_clip_model.safetensors tokenizer.json \
        --local-dir checkpoints/ViT-B-16-SigLIP2
"""

_base_ = '../trunks/timm_siglip2_vit-b-p16.py'

trunk = dict(checkpoint='checkpoints/ViT-B-16-SigLIP2/open_clip_model.safetensors')
model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.FrameMeanViT',
        trunk=dict(_base_.trunk, with_proj=True) | trunk,
        output='frames',
    ),
    text_tower=dict(type='mmstadapter.SigLIPText', arch='siglip2-b', tune='none') | trunk,
    tokenizer=dict(
        type='mmstadapter.SigLIPTokenizer', file='checkpoints/ViT-B-16-SigLIP2/tokenizer.json'
    ),
    similarity=dict(type='mmstadapter.MeanPoolSimilarity'),
    loss=dict(type='mmstadapter.SigmoidLoss'),
    gather='exact',
    num_frames=12,
)
