"""EVL, CLIP ViT-L/14, 16 frames 16 apart, Kinetics-400. Released code: 86.9 top-1.

The recipe for 8 frames; tested with 1 clip x 3 squares. Decoder layers are recomputed in the
backward pass, where the released script splits its batch in 2.

    mim train mmstadapter evl_vit-l_k400_16f.py --launcher pytorch --gpus 8
"""

_base_ = 'evl_vit-l_k400.py'

model = dict(backbone=dict(recompute='block'))
clip_len = 16
num_views = 1
num_crops = 3
