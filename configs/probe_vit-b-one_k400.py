"""One attentive probe, CLIP ViT-B/16, 8 frames 16 apart, Kinetics-400. No figure is published.

V-JEPA 2's probe at one pair of rates, in the middle of the released grid. What `mmstadapter fit
--method probe` starts from. 8 GPUs x 32 clips, 20 epochs.

    mim train mmstadapter probe_vit-b-one_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/probe_vit-b.py',
    '_base_/datasets/k400_evl.py',
    '_base_/schedules/adamw_probe.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
