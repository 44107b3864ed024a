"""CLIP as it is, ViT-L/14, mean of 12 frames, MSVD: nothing is trained.

Captions are read as they are, without a prompt.

    mmstadapter test zeroshot_vit-l_msvd.py none
"""

_base_ = 'clip4clip_vit-b_msvd.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14', tune='none')
text_tower = dict(arch='clip-l', checkpoint='openai/ViT-L-14', tune='none')
model = dict(backbone=dict(trunk=trunk), text_tower=text_tower)
