"""CLIP4Clip, mean-pooled, CLIP ViT-B/32, 12 frames, MSR-VTT 1k-A. CLIP4Clip: 43.1 R@1.

Both encoders are trained at 1e-7; the mean of the frames' unit vectors is compared with the
sentence (Luo et al., 2021, "parameter-free type"). Frames are chosen as in Side4Video's code, in
which its paper ran the baselines. 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b32_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/clip4clip_vit-b32.py',
    '_base_/datasets/msrvtt.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]
