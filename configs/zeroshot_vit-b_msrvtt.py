"""CLIP as it is, ViT-B/16, mean of 12 frames, MSR-VTT 1k-A: nothing is trained.

Captions are read as they are, without a prompt.

    mmstadapter test zeroshot_vit-b_msrvtt.py none
"""

_base_ = 'clip4clip_vit-b_msrvtt.py'

model = dict(backbone=dict(trunk=dict(tune='none')), text_tower=dict(tune='none'))
