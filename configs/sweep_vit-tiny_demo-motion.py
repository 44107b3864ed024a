"""Six side networks and two linear probes on one pass of tiny CLIP, moving digits: which way.

Side4Video at two widths and three learning rates, and linear probes at two, train together and
become what each would become alone; a table stands at the end (docs/sweeps.md). The best is chosen
on the validation clips it is measured on.

    mim train mmstadapter sweep_vit-tiny_demo-motion.py
"""

_base_ = 'side4video_vit-tiny_demo-motion.py'

model = dict(
    type='mmstadapter.SweepRecognizer',
    backbone=dict(
        _delete_=True,
        type='mmstadapter.SharedTrunkViT',
        trunk=_base_.trunk,
        branches=dict(
            side=dict(type='mmstadapter.SideNetwork', head_dims=16),
            linear=dict(type='mmstadapter.FrameMean'),
        ),
        grids=dict(
            side=dict(side_dims=[16, 48], lr=[1e-3, 2e-3, 4e-3]),
            linear=dict(lr=[2e-3, 8e-3]),
        ),
    ),
    cls_head=dict(_delete_=True, type='mmstadapter.SweepHead', num_classes=8),
)
optim_wrapper = dict(
    constructor='mmstadapter.ProbesOptimWrapperConstructor',
    clip_grad=None,  # its norm would be that of all runs together
)
val_evaluator = dict(_delete_=True, type='mmstadapter.SweepMetric')  # best_of_sweep/acc/top1
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, dict(type='mmstadapter.SweepTableHook')]
