"""Attentive probes, CLIP ViT-B/16, 8 frames, Something-Something V2. No figure is published.

V-JEPA 2's frozen evaluation on an image model: twenty probes of 28 M parameters, each at rates
of its own, on one pass of the trunk. The best is chosen on the validation videos it is measured
on. Nothing tells the probe which frame a token is of. 8 GPUs x 32 clips, 20 epochs.

    mim train mmstadapter probe_vit-b_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/probes_vit-b.py',
    '_base_/datasets/ssv2_evl.py',
    '_base_/schedules/adamw_probes.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174))
val_evaluator = dict(type='mmstadapter.ProbesMetric')  # best_of_probes/acc/top1
test_evaluator = val_evaluator
