"""ST-Adapter 24x384, CLIP ViT-B/16, 8 frames, Something-Something V2, as in the paper: 67.1 top-1.

The paper's form where the released one differs: an activation after the convolution (Eq. 2), and
5e-4 for 128 clips a step, 50,000 steps (Table 6); two adapters a block in both. Where the paper
is silent (dropout, warm-up and cosine, no decay of biases), as released; it does not name the
activation either, here GELU. 2 GPUs x 64 clips.

    mim train mmstadapter stadapter_vit-b-paper_ssv2.py --launcher pytorch --gpus 2
"""

_base_ = [
    '_base_/models/stadapter_vit-b.py',
    '_base_/datasets/ssv2.py',
    '_base_/schedules/adamw_50k.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(positions=('before_attn', 'after_attn'), activation='gelu'),
    cls_head=dict(num_classes=174),
)
