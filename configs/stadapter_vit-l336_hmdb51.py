"""ST-Adapter 24x384, CLIP ViT-L/14@336, 8 frames, HMDB51, from Kinetics-400. Paper: 82.8 (Table 7).

As stadapter_vit-b_hmdb51.py, from the adapters of stadapter_vit-l336_k400.py and with sizes
of 336 / 224. 16 GPUs x 8 clips.

    mim train mmstadapter stadapter_vit-l336_hmdb51.py --launcher pytorch --gpus 16
"""

_base_ = 'stadapter_vit-l_hmdb51.py'

model = dict(backbone=dict(trunk=dict(arch='vit-l-p14-336', checkpoint='openai/ViT-L-14-336')))
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        pipeline=[
            dict(step, size=(336, 387) if step['type'].endswith('ShortSide') else 336)
            if 'size' in step
            else step
            for step in _base_.train_pipeline
        ]
    ),
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[dict(step, size=336) if 'size' in step else step for step in _base_.test_pipeline]
    )
)
test_dataloader = val_dataloader
load_from = 'work_dirs/stadapter_vit-l336_k400.safetensors'
