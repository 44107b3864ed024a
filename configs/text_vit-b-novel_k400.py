"""CLIP ViT-B/16 trained on half the classes of Kinetics-400, 8 frames, tested on both halves.

Base to novel, as in ViFi-CLIP: both towers are trained on the first half of the classes, by
number, and the names of the other half are read in testing alone. `base`, `novel` and `harmonic`
are top-1 of each half among its own classes and their harmonic mean. ViFi-CLIP takes 16 clips a
class (`train_dataloader.dataset.fraction`) and, on Kinetics-400, the frequent classes as base.

    mim train mmstadapter text_vit-b-novel_k400.py
"""

_base_ = 'zeroshot_vit-b_k400.py'

base_classes = 'half'  # or a list of class numbers
model = dict(
    backbone=dict(trunk=dict(tune='all')),
    cls_head=dict(text_tower=dict(tune='all'), average_clips='score', base_classes=base_classes),
)
train_dataloader = dict(batch_size=8, dataset=dict(base_classes=base_classes))
val_evaluator = dict(
    type='mmstadapter.BaseToNovelMetric', num_classes=400, base_classes=base_classes
)
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=8e-6, weight_decay=1e-3))
