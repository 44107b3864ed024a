"""Attentive probes, CLIP ViT-B/16, 8 frames 16 apart, Kinetics-400. No figure is published.

V-JEPA 2's frozen evaluation on an image model: twenty probes of 28 M parameters, each at rates
of its own, on one pass of the trunk. The best is chosen on the validation videos it is measured
on. 8 GPUs x 32 clips, 20 epochs.

    mim train mmstadapter probe_vit-b_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/probes_vit-b.py',
    '_base_/datasets/k400_evl.py',
    '_base_/schedules/adamw_probes.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
val_evaluator = dict(type='mmstadapter.ProbesMetric')  # best_of_probes/acc/top1
test_evaluator = val_evaluator
