"""Schedule of the released EVL scripts: 50,000 steps of 256 clips.

AdamW at 4e-4, weight decay 0.05 on every tuned tensor, norms, biases and tables included. A
cosine from the first step to 0, without warm-up. float16 autocast in training, without clipping;
float32 in testing. Counted in steps, so that it does not depend on how many of the videos one has.
"""

train_cfg = dict(
    type='mmstadapter.StepTrainLoop', max_steps=50000, val_interval=5
)  # validate every 5 epochs and after the last
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster

optim_wrapper = dict(
    type='mmstadapter.AmpOptimWrapper',
    constructor='mmstadapter.TunedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
)

param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=0, by_epoch=False)]

auto_scale_lr = dict(enable=False, base_batch_size=256)
