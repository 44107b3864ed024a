"""Side4Video 12x320, CLIP ViT-B/16, 32 frames, 64 words, DiDeMo. No figure published.

The recipe is that of `side4video_vit-b_msrvtt.py` on CLIP4Clip's data: paragraphs and whole
videos, a frame a second. 8 GPUs x 16 pairs. `model.backbone.with_cp=True` saves memory and leaves
the statistics of the batch norms as they are, which `model.micro_batch` does not.

    mim train mmstadapter side4video_vit-b_didemo_32f.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-b_retrieval.py',
    '_base_/datasets/didemo.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]
model = dict(tokenizer=dict(context_length=64))
