"""Schedule of V-JEPA 2's frozen evaluation for one probe: 20 epochs of 256 videos a step.

AdamW on every tensor, a cosine from the first step to 0, no warm-up, no clipping, no smoothing.
The rates are those in the middle of the released grid of twenty. bfloat16 autocast; released:
float16, by an option called use_bfloat16.
"""

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=20, val_interval=5
)  # validate every 5 epochs and after the last
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster

optim_wrapper = dict(
    type='mmstadapter.AmpOptimWrapper',
    dtype='bfloat16',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
)

param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=0,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=256)
