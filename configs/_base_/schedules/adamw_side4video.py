"""Schedule of the released Side4Video scripts: 30 epochs, for ViT-B at 1e-3.

AdamW with decay 0.15 on every tuned tensor, norms, biases and positions included; 4 epochs of
warm-up from 0, cosine to 0. float16 autocast in training, without clipping; float32 in testing.
Configs of other trunks and data sets change epochs, warm-up, rate and batch.
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=5)  # and after the last
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster than the released float32

optim_wrapper = dict(
    type='mmstadapter.AmpOptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.15),
    paramwise_cfg=dict(bn_lr_by_accumulation=True),  # matters with accumulative_counts > 1
)

param_scheduler = [
    dict(
        type='mmstadapter.WarmupCosineLR',
        warmup=4,
        by_epoch=True,
        convert_to_iter_based=True,
        update_interval=10,  # as released; 1: a new rate every iteration
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=256)
