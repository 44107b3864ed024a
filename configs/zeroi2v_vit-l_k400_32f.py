"""ZeroI2V, CLIP ViT-L/14, 32 frames 4 apart, Kinetics-400. Released code: 87.2 top-1.

Two more heads look two frames back; a part of a quarter of the clips is erased. 8 GPUs x 2 clips,
two batches a step.

    mim train mmstadapter zeroi2v_vit-l_k400_32f.py --launcher pytorch --gpus 8
"""

_base_ = 'zeroi2v_vit-l_k400.py'

model = dict(backbone=dict(num_frames=32, shifts=[(-1, 8), (1, 8), (-2, 8)]))
_base_.train_dataloader.dataset.pipeline[1].update(clip_len=32, frame_interval=4)
_base_.val_dataloader.dataset.pipeline[1].update(clip_len=32, frame_interval=4)
_base_.test_dataloader.dataset.pipeline[1].update(clip_len=32, frame_interval=4)
steps = _base_.train_dataloader.dataset.pipeline
erasing = dict(type='RandomErasing', erase_prob=0.25, mode='rand')
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=[*steps[:8], erasing, *steps[8:]]))
optim_wrapper = dict(accumulative_counts=2)
auto_scale_lr = dict(base_batch_size=32)
