"""EVA-02 CLIP ViT-B/16, rotary positions, as timm has it, frozen.

Needs timm: pip install 'mmstadapter[timm]'. The file is fetched by hand, once; NAME is the
model below:

    hf download timm/NAME model.safetensors --local-dir checkpoints/NAME
"""

trunk = dict(
    type='mmstadapter.TimmViT',
    model='eva02_base_patch16_clip_224.merged2b',
    checkpoint='checkpoints/eva02_base_patch16_clip_224.merged2b/model.safetensors',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321375, 70.32316305],
    format_shape='NCTHW',
)
