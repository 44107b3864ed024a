"""TempMe, CLIP ViT-B/32, 12 frames, MSR-VTT 1k-A, released defaults. No R@1 in its README.

Tokens merge in the image encoder, in a frame and then across joined frames; 0.51 M parameters are
trained. Counted, the released defaults take 34 % of the image encoder's multiply-adds away; the
paper's abstract says 51 % fewer GFLOPs, which by formula needs tome_r 4 (49 %) or 5 (57 %).
4 GPUs x 32 pairs.

    mim train mmstadapter tempme_vit-b32_msrvtt.py --launcher pytorch --gpus 4
"""

_base_ = [
    '_base_/models/tempme_vit-b32.py',
    '_base_/datasets/msrvtt_tempme.py',
    '_base_/schedules/adamw_tempme.py',
    '_base_/retrieval_runtime.py',
]
