"""BitFit, CLIP ViT-B/16, 8 frames, Something-Something V2. Paper: 33.6 top-1.

ST-Adapter's Table 1: the biases of all linear maps and norms, and the classifier; 0.41 M tuned
parameters. Trained as ST-Adapter is (appendix).

    mim train mmstadapter bitfit_vit-b_ssv2.py --launcher pytorch --gpus 4
"""

_base_ = 'linear_vit-b_ssv2.py'

model = dict(backbone=dict(trunk=dict(tune='bias')))
