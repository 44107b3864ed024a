"""ZeroI2V, CLIP ViT-B/16, 32 frames, UCF101, as released; no figure is published.

A head each looks one and two frames back and ahead. 4 GPUs x 16 clips.

    mim train mmstadapter zeroi2v_vit-b_ucf101_32f.py --launcher pytorch --gpus 4
"""

_base_ = 'zeroi2v_vit-b_ucf101.py'

model = dict(backbone=dict(shifts=[(-1, 12), (1, 12), (-2, 12), (2, 12)], recompute='block'))
clip_len = 32
