"""Schedule of the released text-video retrieval scripts: 5 epochs of 128 pairs (8 GPUs x 16).

BertAdam at 1e-4, and at a thousandth of it for whatever comes from CLIP: image and text encoder,
projections, logit scale. Decay 0.2 on every tuned tensor but those with "bias" in the name, norms
and embeddings included. A tenth of the training is warm-up, then a cosine. Gradients are clipped
twice, all together and tensor by tensor. Training under autocast keeps float32 weights; the
released code holds CLIP's in float16 (docs/retrieval.md).
"""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=5, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')  # fp16=True is faster

optim_wrapper = dict(
    type='mmstadapter.AmpOptimWrapper',
    constructor='mmstadapter.NamedGroupsConstructor',
    optimizer=dict(
        type='mmstadapter.BertAdam',
        lr=1e-4,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.2,
        max_grad_norm=1.0,  # of each tensor
    ),
    clip_grad=dict(max_norm=1.0),  # of all together, before
    paramwise_cfg=dict(
        lr_mult={'backbone.trunk.': 1e-3, 'text_tower.': 1e-3, 'logit_scale': 1e-3},
        no_decay=['bias'],
    ),
)

param_scheduler = [
    dict(
        type='mmstadapter.BertWarmupCosineLR',
        warmup=0.5,  # epochs: a tenth of 5
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

auto_scale_lr = dict(enable=False, base_batch_size=128)
