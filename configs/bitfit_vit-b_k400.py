"""BitFit, CLIP ViT-B/16, 8 frames, Kinetics-400. Paper: 77.6 top-1.

ST-Adapter's Table 1: the biases of all linear maps and norms, and the classifier; 0.41 M tuned
parameters. Trained as ST-Adapter is (appendix).

    mim train mmstadapter bitfit_vit-b_k400.py --launcher pytorch --gpus 3
"""

_base_ = 'linear_vit-b_k400.py'

model = dict(backbone=dict(trunk=dict(tune='bias')))
