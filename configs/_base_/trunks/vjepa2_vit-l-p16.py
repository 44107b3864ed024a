"""V-JEPA 2 ViT-L, tubelets of 2 frames and 16 pixels, frames of 256 pixels, frozen.

Needs transformers: pip install 'mmstadapter[transformers]'. The file is fetched once, into
Hugging Face's cache; `checkpoint` may also be a file of the authors.
"""

trunk = dict(
    type='mmstadapter.HFVideoViT',
    model='vjepa2',
    arch='vit-l-p16',
    img_size=256,
    checkpoint='hf:facebook/vjepa2-vitl-fpc64-256',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    format_shape='NCTHW',
)
