"""DiST 32+64 frames, CLIP ViT-L/14, Something-Something V2. Released code: 73.1 top-1.

The trunk sees every second of 64 frames, the temporal network all. 8 GPUs x 32 clips, 36 epochs;
tested with 3 clips x centre. Classes are read from the label map that `mmstadapter prepare`
writes. Layers are recomputed in the backward pass.

    mim train mmstadapter dist_vit-l_ssv2_64f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/dist_vit-l.py',
    '_base_/datasets/ssv2_dist.py',
    '_base_/schedules/adamw_dist.py',
    '_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(
        blending=dict(
            augments=[
                dict(type='MixupBlending', alpha=0.8, num_classes=174),
                dict(type='CutmixBlending', alpha=1.0, num_classes=174),
            ]
        )
    ),
    backbone=dict(recompute='block'),
    cls_head=dict(num_classes=174, labels='data/sthv2/label_map_sthv2.txt'),
)
clip_len = 64
