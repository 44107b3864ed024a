"""EVA-CLIP ViT-E/14, 4.4 B parameters, frozen, stored in 16 bit as the file has it (8.7 GB).

The file, 9.4 GB, is fetched by hand, once; a path to any EVA-CLIP ViT-E/14 file works as well:

    hf download QuanSun/EVA-CLIP EVA02_CLIP_E_psz14_s4B.pt --local-dir checkpoints
"""

trunk = dict(
    type='mmstadapter.EVAViT',
    arch='eva-e-p14',
    checkpoint='checkpoints/EVA02_CLIP_E_psz14_s4B.pt',
    dtype='float16',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[122.7709383, 116.7460125, 104.09373615],  # CLIP's, times 255
    std=[68.5005327, 66.6321579, 70.32316305],
    format_shape='NCTHW',
)
