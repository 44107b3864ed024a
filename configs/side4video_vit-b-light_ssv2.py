"""Side4Video light 6x192, CLIP ViT-B/16, 8 frames, Something-Something V2.

Paper: 68.6 top-1 (Table 2). Every second layer of the trunk is read (Table 1). The recipe of
the full B/16, tested as in Table 2 with 3 clips of 1 crop.

    mim train mmstadapter side4video_vit-b-light_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_ssv2.py'

model = dict(backbone=dict(side_dims=192, layers='interval'), cls_head=dict(in_channels=192))
num_views = 3
num_crops = 1
