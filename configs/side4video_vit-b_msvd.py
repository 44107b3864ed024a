"""Side4Video 12x320, CLIP ViT-B/16, 12 frames, MSVD. Paper: 49.0 R@1 (Table 7).

The image encoder is frozen up to its final norm and projection; the side network, these and
the whole text tower are trained, words and frames compared token by token. Settings of
the released script (which has B/32), with float32 weights (docs/retrieval.md).
8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-b_msvd.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-b_retrieval.py',
    '_base_/datasets/msvd.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]
