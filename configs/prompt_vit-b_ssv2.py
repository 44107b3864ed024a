"""Prompt tuning, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 39.3 top-1.

ST-Adapter's Table 1: deep visual prompts (Jia et al., 2022); 1.18 M tuned parameters, which
128 a block give without the classifier. Trained as ST-Adapter is (appendix).

    mim train mmstadapter prompt_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'linear_vit-b_ssv2.py'

model = dict(backbone=dict(type='mmstadapter.PromptViT', num_prompts=128))
