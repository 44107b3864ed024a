"""Side4Video 24x512, CLIP ViT-L/14, 8 frames, Kinetics-400. Paper: 86.6 top-1 (Table 5).

Released recipe: 8 GPUs x 32 clips, 30 epochs at 1e-4 (Table 12).

    mim train mmstadapter side4video_vit-l_k400.py --launcher pytorch --gpus 8
"""

_base_ = 'side4video_vit-b_k400.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk, side_dims=512), cls_head=dict(in_channels=512))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
