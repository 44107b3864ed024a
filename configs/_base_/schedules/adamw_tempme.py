"""Schedule of the released TempMe script: 5 epochs of 128 pairs (4 GPUs x 32), float32.

AdamW at 6e-4, eps 1e-6, weight decay 0.2 on all tuned tensors. A tenth of the training is warm-up
from 0, then a cosine to 0, both per iteration. Gradients are clipped to norm 1. The released code
also looks for anomalies in every step, which is slow and changes nothing.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=5, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=6e-4, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.2),
    clip_grad=dict(max_norm=1.0),
)

param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=0.5,  # epochs: a tenth of 5
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=128)
