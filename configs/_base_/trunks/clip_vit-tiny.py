"""The tiny CLIP of the moving-digits benchmark: 32 pixels, 4 layers of width 96, frozen.

`mmstadapter prepare tiny_clip` makes the file, in two or three minutes.
"""

trunk = dict(
    type='mmstadapter.CLIPViT',
    arch=dict(img_size=32, patch_size=8, embed_dims=96, num_layers=4, num_heads=3, output_dims=64),
    checkpoint='data/moving_digits/clip_tiny.safetensors',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[122.7709383, 116.7460125, 104.09373615],  # CLIP's, times 255
    std=[68.5005327, 66.6321579, 70.32316305],
    format_shape='NCTHW',
)
