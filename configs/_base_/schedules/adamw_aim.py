"""Schedule of the released AIM configs: 30 epochs of 64 clips a step.

AdamW at 3e-4, weight decay 0.05 on all tuned tensors but the last norm, biases and time positions
included. A cosine down to 0, an epoch at a time, times a warm-up from a tenth over 2.5 epochs,
an iteration at a time. float16 autocast in training, without clipping; float32 in testing.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=5)  # and after the last
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster than the released float32

optim_wrapper = dict(
    type='mmstadapter.AmpOptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'ln_post': dict(decay_mult=0.0)}),
)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        by_epoch=True,
        begin=0,
        end=2.5,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=True, begin=0),  # to the last epoch
]

auto_scale_lr = dict(enable=False, base_batch_size=64)
