"""Schedule of the released DiST files: 36 epochs of 256 clips a step.

AdamW at 3.2e-4, weight decay 1e-4 on matrices and convolutions alone: not on norms, biases,
tokens and positions. A cosine to 0 over all epochs, of which the first 6 rise to it in a line
from a 400th of the rate, per iteration. float32: autocast is asked for by the released files
and not used by the code; `optim_wrapper.type='mmstadapter.AmpOptimWrapper'` turns it on.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=36, val_interval=4)  # and after the last
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3.2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            name: dict(decay_mult=0.0)
            for name in ('in_proj_bias', 'cls_token', 'query', 'positions')
        },
    ),
)

param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=6,
        start_factor=0.0025,
        cosine_from_start=True,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=256)
