"""DiST in CLIP ViT-L/14, else as `dist_vit-b.py`.

The released files cut the temporal network's patches at 16 pixels beside a trunk of 14 and do
not run; here they are the trunk's.
"""

_base_ = 'dist_vit-b.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(
    backbone=dict(trunk=trunk, output_dims=768),
    cls_head=dict(in_channels=768, text_tower=dict(arch='clip-l', checkpoint='openai/ViT-L-14')),
)
