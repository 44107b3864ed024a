"""DiST 32+64 frames, CLIP ViT-L/14, Kinetics-400. Released code: 88.0 top-1.

The trunk sees every second of 64 frames, the temporal network all. Four pooling layers, where
Something-Something has two. 8 GPUs x 32 clips, 36 epochs; tested with 3 clips x centre. Classes
are read from the label map that `mmstadapter prepare` writes. Layers are recomputed in the
backward pass.

    mim train mmstadapter dist_vit-l_k400_64f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/dist_vit-l.py',
    '_base_/datasets/k400_dist.py',
    '_base_/schedules/adamw_dist.py',
    '_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(
        blending=dict(
            augments=[
                dict(type='MixupBlending', alpha=0.8, num_classes=400),
                dict(type='CutmixBlending', alpha=1.0, num_classes=400),
            ]
        )
    ),
    backbone=dict(num_poolings=4, recompute='block'),
    cls_head=dict(num_classes=400, labels='data/kinetics400/label_map_k400.txt'),
)
clip_len = 64
