"""CLIP4Clip, mean-pooled, CLIP ViT-B/32, 32 frames, 64 words, DiDeMo. CLIP4Clip: 43.4 R@1.

Paragraphs and whole videos, a frame a second. 8 GPUs x 16 pairs; `model.micro_batch=4` needs a
quarter of the memory for the same gradients.

    mim train mmstadapter clip4clip_vit-b32_didemo_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/clip4clip_vit-b32.py',
    '_base_/datasets/didemo.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]
model = dict(tokenizer=dict(context_length=64))
