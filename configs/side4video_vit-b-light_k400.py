"""Side4Video light 6x192, CLIP ViT-B/16, 8 frames, Kinetics-400. The paper has no result.

Every second layer of the trunk is read (Table 1). The recipe of the full B/16.

    mim train mmstadapter side4video_vit-b-light_k400.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_k400.py'

model = dict(backbone=dict(side_dims=192, layers='interval'), cls_head=dict(in_channels=192))
