"""Side networks of two widths at three rates on one pass of CLIP ViT-B/16, 8 frames, Kinetics-400.

Side4Video 12x192 and 12x320, each at 5e-4, 1e-3 and 2e-3, else as `side4video_vit-b_k400.py` but
in bfloat16: one loss scale of float16 would tie the runs together. Each becomes what it would
become alone; a table stands at the end (docs/sweeps.md). No figure is published. 8 GPUs x 32 clips.

    mim train mmstadapter sweep_vit-b_k400.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_k400.py'

model = dict(
    type='mmstadapter.SweepRecognizer',
    backbone=dict(
        _delete_=True,
        type='mmstadapter.SharedTrunkViT',
        trunk=_base_.trunk,
        branches=dict(side=dict(type='mmstadapter.SideNetwork')),
        grids=dict(side=dict(side_dims=[192, 320], lr=[5e-4, 1e-3, 2e-3])),
    ),
    cls_head=dict(
        _delete_=True, type='mmstadapter.SweepHead', num_classes=400, label_smooth_eps=0.1
    ),
)
optim_wrapper = dict(dtype='bfloat16', constructor='mmstadapter.ProbesOptimWrapperConstructor')
val_evaluator = dict(_delete_=True, type='mmstadapter.SweepMetric')  # best_of_sweep/acc/top1
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, dict(type='mmstadapter.SweepTableHook')]
