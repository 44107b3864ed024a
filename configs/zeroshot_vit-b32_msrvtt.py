"""CLIP as it is, ViT-B/32, mean of 12 frames, MSR-VTT 1k-A: nothing is trained.

Captions are read as they are, without a prompt.

    mmstadapter test zeroshot_vit-b32_msrvtt.py none
"""

_base_ = 'clip4clip_vit-b32_msrvtt.py'

model = dict(backbone=dict(trunk=dict(tune='none')), text_tower=dict(tune='none'))
