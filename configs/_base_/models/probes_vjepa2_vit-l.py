"""Twenty attentive probes on one pass of V-JEPA 2 ViT-L, one for each learning rate and decay.

A config adds what depends on the data: `num_segments` of the backbone, as the data set's
`num_clips`, and `num_classes` of the head.
"""

_base_ = '../trunks/vjepa2_vit-l-p16.py'

model = dict(
    type='Recognizer3D',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmstadapter.ProbeViT',
        trunk=_base_.trunk,
        depth=4,
        num_heads=16,
        num_probes=20,
        with_cp=True,
    ),
    cls_head=dict(
        type='mmstadapter.ProbesHead',
        in_channels=1024,
        lrs=(5e-3, 3e-3, 1e-3, 3e-4, 1e-4),
        weight_decays=(0.01, 0.1, 0.4, 0.8),
    ),
)
