"""Prompt tuning, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 79.3 top-1.

ST-Adapter's Table 1: deep visual prompts (Jia et al., 2022); 1.18 M tuned parameters, which
128 a block give without the classifier. Trained as ST-Adapter is (appendix).

    mim train mmstadapter prompt_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(type='mmstadapter.PromptViT', num_prompts=128))
