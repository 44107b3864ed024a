"""CLIP4Clip, sequential, CLIP ViT-B/16 frozen, 12 frames, MSVD.

A transformer of four layers, copied from the text tower and trained at 1e-4, reads the frames
before their mean (Luo et al., 2021, "sequential type"). 8 GPUs x 16 pairs.

    mim train mmstadapter clip4clip_vit-b-frozen-seq_msvd.py --launcher pytorch --gpus 8
"""

_base_ = 'clip4clip_vit-b-frozen_msvd.py'

model = dict(similarity=dict(type='mmstadapter.SequentialSimilarity', embed_dims=512, num_layers=4))
