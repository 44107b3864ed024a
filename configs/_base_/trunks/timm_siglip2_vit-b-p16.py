"""SigLIP 2 ViT-B/16, no class token, attention pooling, as timm has it, frozen.

Needs timm: pip install 'mmstadapter[timm]'. The file is fetched by hand, once; NAME is the
model below:

    hf download timm/NAME model.safetensors --local-dir checkpoints/NAME
"""

trunk = dict(
    type='mmstadapter.TimmViT',
    model='vit_base_patch16_siglip_224.v2_webli',
    checkpoint='checkpoints/vit_base_patch16_siglip_224.v2_webli/model.safetensors',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    format_shape='NCTHW',
)
