"""ST-Adapter 12x384, CLIP ViT-B/16, 8 frames, Kinetics-400, the paper's form. Paper: 82.0 top-1.

The paper's form where the released one differs: adapters before attention (Section 3.3), an
activation after the convolution (Eq. 2), 5e-4 for 128 clips a step, 20,000 steps, short side
224-256 (Table 6). Where the paper is silent (dropout, warm-up and cosine, no decay of biases),
as released; it does not name the activation either, here GELU. 2 GPUs x 64 clips.

    mim train mmstadapter stadapter_vit-b-paper_k400.py --launcher pytorch --gpus 2
"""

_base_ = [
    '_base_/models/stadapter_vit-b.py',
    '_base_/datasets/k400.py',
    '_base_/schedules/adamw_20k.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(positions=('before_attn',), activation='gelu'),
    cls_head=dict(num_classes=400),
)
train_dataloader = dict(dataset=dict(steps=dict(ResizeShortSide=dict(size=(224, 256)))))
