"""PE-Core as it is, ViT-B/16, mean of 12 frames, MSR-VTT 1k-A.

Nothing is trained. PE-Core's paper: 47.6 text-to-video R@1. Captions are read without a prompt;
whole frames are squashed to squares, as in its training.

    mmstadapter test zeroshot_vit-b-pe_msrvtt.py none
"""

_base_ = [
    '_base_/models/pe_vit-b_retrieval.py',
    '_base_/datasets/msrvtt.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]

squash = dict(dataset=dict(steps=dict(PILResize=dict(size=(224, 224)))))
train_dataloader = squash
val_dataloader = squash
test_dataloader = squash
