"""Kinetics-400 schedule of the released ST-Adapter scripts: 12 epochs of 192 clips a step.

AdamW at 7.5e-4 (1e-3 for 256 clips), weight decay 0.01 on all tuned tensors but biases,
2 epochs of warm-up from 0, cosine to 0, both per iteration. `--auto-scale-lr` adapts the rate
to another number of clips a step.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=5)  # and after the last
val_cfg = dict(type='ValLoop', fp16=True)  # the released code evaluates under autocast as well
test_cfg = dict(type='TestLoop', fp16=True)

optim_wrapper = dict(
    type='mmstadapter.AmpOptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=7.5e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(bias_decay_mult=0.0),
)

param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=2,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=192)
