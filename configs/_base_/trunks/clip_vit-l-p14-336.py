"""CLIP ViT-L/14@336, frozen, stored in 16 bit as the released code stores it.

The known name is fetched once into a cache; a path to any CLIP file works as well.
"""

trunk = dict(
    type='mmstadapter.CLIPViT',
    arch='vit-l-p14-336',
    checkpoint='openai/ViT-L-14-336',
    dtype='float16',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[122.7709383, 116.7460125, 104.09373615],  # CLIP's, times 255
    std=[68.5005327, 66.6321579, 70.32316305],
    format_shape='NCTHW',
)
