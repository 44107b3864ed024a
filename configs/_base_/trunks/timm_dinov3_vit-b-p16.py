"""DINOv3 ViT-B/16, four registers, rotary positions, as timm has it, frozen.

Needs timm: pip install 'mmstadapter[timm]'. The file is fetched by hand, once; NAME is the
model below:

    hf download timm/NAME model.safetensors --local-dir checkpoints/NAME
"""

trunk = dict(
    type='mmstadapter.TimmViT',
    model='vit_base_patch16_dinov3.lvd1689m',
    options=dict(img_size=224),
    checkpoint='checkpoints/vit_base_patch16_dinov3.lvd1689m/model.safetensors',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    format_shape='NCTHW',
)
