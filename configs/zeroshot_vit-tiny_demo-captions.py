"""The tiny CLIP as it is, mean of 8 frames, moving digits by caption: nothing is trained.

It has never seen the words of motion.

    mmstadapter test zeroshot_vit-tiny_demo-captions.py none
"""

_base_ = 'clip4clip_vit-tiny-frozen_demo-captions.py'

model = dict(backbone=dict(trunk=dict(tune='none')), text_tower=dict(tune='none'))
