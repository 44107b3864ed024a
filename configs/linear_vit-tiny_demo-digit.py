"""Linear probe, tiny CLIP, 8 frames, moving digits: which digit it is.

93.3 % on unseen handwriting, the mean of seeds 0, 1, 2 (docs/leaderboard.md).

    mim train mmstadapter linear_vit-tiny_demo-digit.py
"""

_base_ = 'linear_vit-tiny_demo-motion.py'

model = dict(cls_head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(ann_file='train_digit.txt', num_classes=10))
val_dataloader = dict(dataset=dict(ann_file='val_digit.txt', num_classes=10))
test_dataloader = dict(dataset=dict(ann_file='val_digit.txt', num_classes=10))
