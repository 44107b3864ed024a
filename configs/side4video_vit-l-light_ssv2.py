"""Side4Video light 12x320, CLIP ViT-L/14, 8 frames, Something-Something V2.

Paper: 70.6 top-1 (Table 2). Every second layer of the trunk is read (Table 1). The recipe of
the full L/14, tested as in Table 2 with 3 clips of 1 crop.

    mim train mmstadapter side4video_vit-l-light_ssv2.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-l_ssv2.py'

model = dict(backbone=dict(side_dims=320, layers='interval'), cls_head=dict(in_channels=320))
num_views = 3
num_crops = 1
