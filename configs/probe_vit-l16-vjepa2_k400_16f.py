"""V-JEPA 2 ViT-L and its probes, 16 frames 4 apart, Kinetics-400. No figure in its README.

Twenty probes, each at rates of its own, read the frozen video trunk's tokens of 8 clips
together. The figure is that of the best probe, chosen on the validation videos it is measured on.
64 GPUs x 4 videos.

    mim train mmstadapter probe_vit-l16-vjepa2_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/probes_vjepa2_vit-l.py',
    '_base_/datasets/k400_vjepa2.py',
    '_base_/schedules/adamw_probes.py',
    '_base_/default_runtime.py',
]
model = dict(backbone=dict(num_segments=8), cls_head=dict(num_classes=400))
val_evaluator = dict(type='mmstadapter.ProbesMetric')  # best_of_probes/acc/top1
test_evaluator = val_evaluator
