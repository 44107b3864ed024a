"""Schedule of the moving-digits benchmark: 6 epochs of 8 clips a step, float32.

AdamW at 2e-3, weight decay 0.01 on all tuned tensors but biases, gradients clipped to norm 1,
1 epoch of warm-up from 0, cosine to 0, both per iteration.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6, val_interval=3)  # and after the last
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)

param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=1,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=8)
