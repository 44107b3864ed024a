"""CLIP4Clip, sequential, CLIP ViT-B/32 frozen, 12 frames, MSR-VTT 1k-A.

A transformer of four layers, copied from the text tower and trained at 1e-4, reads the frames
before their mean (Luo et al., 2021, "sequential type"). 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b32-frozen-seq_msrvtt.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b32-frozen_msrvtt.py'

model = dict(similarity=dict(type='mmstadapter.SequentialSimilarity', embed_dims=512, num_layers=4))
