"""ViT-B/16 pretrained on ImageNet-21K (AugReg) as MMPretrain has it, frozen.

Needs MMPretrain: pip install 'mmstadapter[full]'. The file is fetched by hand, once:

    https://download.openmmlab.com/mmclassification/v0/vit/pretrain/<name below>
"""

trunk = dict(
    type='mmstadapter.MMPretrainViT',
    vit=dict(type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16),
    checkpoint='checkpoints/vit-base-p16_3rdparty_pt-64xb64_in1k-224_20210928-02284250.pth',
)
data_preprocessor = dict(
    type='ActionDataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    format_shape='NCTHW',
)
