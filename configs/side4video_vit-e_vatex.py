"""Side4Video 32x320, EVA-CLIP ViT-E/14, 12 frames, VATEX. Paper: 68.8 R@1 (Table 8).

Every second of the 64 layers is read; side blocks end with their norms and are recomputed in
the backward pass. Initial values and head are those of the released EVA-CLIP model; there is no
released training script for E/14. 8 GPUs x 16 pairs.

    mim train mmstadapter side4video_vit-e_vatex.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/side4video_vit-e_retrieval.py',
    '_base_/datasets/vatex.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]
