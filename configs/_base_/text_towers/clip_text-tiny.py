"""The text tower of the moving-digits benchmark's tiny CLIP: 2 layers of width 64, 39 words.

It is in the image model's file (`mmstadapter prepare tiny_clip`). Words of motion are in
the vocabulary and were never seen: opposite motions start with cosines of 0.91 to 1.00.
"""

text_tower = dict(
    type='mmstadapter.CLIPText',
    arch=dict(
        vocab_size=42,  # the words, padding, start, end
        context_length=12,
        embed_dims=64,
        num_layers=2,
        num_heads=4,
        output_dims=64,
    ),
    checkpoint='data/moving_digits/clip_tiny.safetensors',
)
tokenizer = dict(
    type='mmstadapter.WordTokenizer',
    words=(
        'a appears away background blue checks diagonal digit down eight fades five four green '
        'grey grows horizontal left moves nine of on one photo purple red right seven shrinks six '
        'stripes the three to two up vertical with zero'
    ).split(),
    context_length=12,
)
