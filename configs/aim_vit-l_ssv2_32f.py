"""AIM, CLIP ViT-L/14, 32 frames, Something-Something V2. Published: 70.6 (Side4Video, Table 4).

Blocks are recomputed in the backward pass. 8 GPUs x 8 clips.

    mim train mmstadapter aim_vit-l_ssv2_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'aim_vit-l_ssv2.py'

model = dict(backbone=dict(num_frames=32, with_cp=True))
_base_.train_dataloader.dataset.pipeline[1].update(clip_len=32)
_base_.val_dataloader.dataset.pipeline[1].update(clip_len=32)
_base_.test_dataloader.dataset.pipeline[1].update(clip_len=32)
