"""ST-Adapter 12x384, CLIP ViT-B/16, 8 frames, UCF101, from Kinetics-400. Paper: 96.4 (Table 7).

Mean top-1 of three splits: `--cfg-options split=2` takes another than the first. Starts from
the Kinetics-400 adapters (the classifier starts anew), which `mmstadapter publish` writes:

    mmstadapter publish stadapter_vit-b_k400.py CHECKPOINT \\
        work_dirs/stadapter_vit-b_k400.safetensors

500 steps of 128 clips at 5e-4; adapters at a tenth of rate and decay. 2 GPUs x 64 clips.

    mim train mmstadapter stadapter_vit-b_ucf101.py --launcher pytorch --gpus 2
"""

_base_ = [
    '_base_/models/stadapter_vit-b.py',
    '_base_/datasets/ucf101.py',
    '_base_/schedules/adamw_500.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=101))
load_from = 'work_dirs/stadapter_vit-b_k400.safetensors'
