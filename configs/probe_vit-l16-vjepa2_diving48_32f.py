"""V-JEPA 2 ViT-L and its probes, 32 frames 2 apart, Diving-48. Released: 89.0 top-1.

Three probes, each at rates of its own, read the frozen video trunk's tokens of 4 clips
together. The figure is that of the best probe, chosen on the validation videos it is measured on.
64 GPUs x 2 videos, 100 epochs.

    mim train mmstadapter probe_vit-l16-vjepa2_diving48_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/probes_vjepa2_vit-l.py',
    '_base_/datasets/diving48_vjepa2.py',
    '_base_/schedules/adamw_probes.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(num_segments=4, num_probes=3),
    cls_head=dict(num_classes=48, lrs=(1e-3, 3e-4, 1e-4), weight_decays=(0.8,)),
)
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=128)
val_evaluator = dict(type='mmstadapter.ProbesMetric')  # best_of_probes/acc/top1
test_evaluator = val_evaluator
