"""Side4Video 32x576, EVA-CLIP ViT-E/14, 8 frames, Kinetics-400. Paper: 88.3 top-1 (Table 5).

Every second of the 64 layers is read, side blocks end with their norms and are recomputed in
the backward pass. Released recipe: 8 GPUs x 1 clip, RandAugment, 20 epochs at 1e-4; the paper
has 128 clips a step (Table 12).

    mim train mmstadapter side4video_vit-e_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-e.py',
    '_base_/datasets/k400_s4v.py',
    '_base_/schedules/adamw_side4video.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=400))
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        pipeline=[
            dict(type='mmstadapter.VideoInit'),
            dict(type='mmstadapter.SampleSide4Video', clip_len=8, rule='kinetics'),
            dict(type='mmstadapter.VideoDecode'),
            dict(type='mmstadapter.RandAugment', policy='rand-m7-n4-mstd0.5-inc1'),
            dict(type='mmstadapter.PILResize', size=256),
            dict(type='mmstadapter.PILRandomSquare', size=224),
            dict(type='Flip', flip_ratio=0.5),
            dict(type='mmstadapter.RandomGrey', p=0.2),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackActionInputs'),
        ]
    ),
)
train_cfg = dict(max_epochs=20)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=8)
