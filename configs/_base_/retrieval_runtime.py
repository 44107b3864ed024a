"""`default_runtime.py` for retrieval: the last epoch counts, no best one is chosen.

MMAction2 keeps the epoch with the best first metric, which is no accuracy here. Where the data set
has validation videos of their own (MSVD, VATEX, DiDeMo), the best epoch on them is kept by
default_hooks.checkpoint.save_best=retrieval/t2v/R1 default_hooks.checkpoint.rule=greater. The
released code takes the best on the test videos.
"""

_base_ = 'default_runtime.py'

default_hooks = dict(checkpoint=dict(save_best=None))
