"""PE-Core ViT-B/16, rotary positions, attention pooling, as timm has it, frozen.

Needs timm: pip install 'mmstadapter[timm]'. The file is fetched by hand, once; NAME is the
model below:

    hf download timm/NAME model.safetensors --local-dir checkpoints/NAME
"""

trunk = dict(
    type='mmstadapter.TimmViT',
    model='vit_pe_core_base_patch16_224.fb',
    checkpoint='checkpoints/vit_pe_core_base_patch16_224.fb/model.safetensors',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    format_shape='NCTHW',
)
