"""Side4Video light 12x320, CLIP ViT-L/14, 8 frames, Something-Something V1.

The paper has no result. Every second layer of the trunk is read (Table 1). The recipe of the
full L/14.

    mim train mmstadapter side4video_vit-l-light_ssv1.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-l_ssv1.py'

model = dict(backbone=dict(side_dims=320, layers='interval'), cls_head=dict(in_channels=320))
