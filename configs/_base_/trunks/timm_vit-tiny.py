"""The leaderboard's other trunk: a tiny vision transformer of timm, 32 pixels, frozen.

As large as the tiny CLIP (4 layers of width 96), with GELU and no norm before the first block.
Needs timm: pip install 'mmstadapter[timm]'. The file is made in two or three minutes:

    mmstadapter prepare tiny_clip --tower timm --out data/moving_digits/timm_tiny.safetensors
"""

trunk = dict(
    type='mmstadapter.TimmViT',
    model='vit_tiny_patch16_224',
    options=dict(img_size=32, patch_size=8, embed_dim=96, depth=4, num_heads=3),
    checkpoint='data/moving_digits/timm_tiny.safetensors',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    format_shape='NCTHW',
)
