"""Attentive probe, tiny CLIP, 8 frames, moving digits: which digit it is.

mim train mmstadapter probe_vit-tiny_demo-digit.py"""

_base_ = 'probe_vit-tiny_demo-motion.py'

model = dict(cls_head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(ann_file='train_digit.txt', num_classes=10))
val_dataloader = dict(dataset=dict(ann_file='val_digit.txt', num_classes=10))
test_dataloader = dict(dataset=dict(ann_file='val_digit.txt', num_classes=10))
