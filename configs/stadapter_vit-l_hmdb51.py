"""ST-Adapter 24x384, CLIP ViT-L/14, 8 frames, HMDB51, from Kinetics-400. Paper: 81.7 (Table 7).

As stadapter_vit-b_hmdb51.py, from the adapters of stadapter_vit-l_k400.py. 8 GPUs x 16 clips.

    mim train mmstadapter stadapter_vit-l_hmdb51.py --launcher pytorch --gpus 8
"""

_base_ = 'stadapter_vit-b_hmdb51.py'

trunk = dict(arch='vit-l-p14', checkpoint='openai/ViT-L-14')
model = dict(backbone=dict(trunk=trunk), cls_head=dict(in_channels=1024))
train_dataloader = dict(batch_size=16)
load_from = 'work_dirs/stadapter_vit-l_k400.safetensors'
