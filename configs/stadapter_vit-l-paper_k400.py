"""ST-Adapter 24x384, CLIP ViT-L/14, 8 frames, Kinetics-400, the paper's form. Paper: 86.7 top-1.

The paper's form where the released one differs: adapters before attention (Section 3.3), an
activation after the convolution (Eq. 2), short side 224-256 (Table 6; steps, rate and batch are
its in stadapter_vit-l_k400.py as well). Where the paper is silent (dropout, warm-up and cosine,
no decay of biases), as released; it does not name the activation either, here GELU. 8 GPUs x 16
clips.

    mim train mmstadapter stadapter_vit-l-paper_k400.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/stadapter_vit-l.py',
    '_base_/datasets/k400.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(positions=('before_attn',), activation='gelu'),
    cls_head=dict(num_classes=400),
)
train_dataloader = dict(
    batch_size=16, dataset=dict(steps=dict(ResizeShortSide=dict(size=(224, 256))))
)
