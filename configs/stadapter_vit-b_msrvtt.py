"""ST-Adapter 12x384, CLIP ViT-B/16, 12 frames, MSR-VTT 1k-A. Listed: 80.1 R@10.

Side4Video's retrieval recipe with adapters in the image encoder instead of a network beside it:
adapters, final norm, projection and text tower are trained. The figure is what public listings
state for ST-Adapter, measured by others than its authors and not with these settings.
8 GPUs x 16 pairs.

    mim train mmstadapter stadapter_vit-b_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = [
    '_base_/models/stadapter_vit-b_retrieval.py',
    '_base_/datasets/msrvtt.py',
    '_base_/schedules/bert_adam_5e.py',
    '_base_/retrieval_runtime.py',
]
