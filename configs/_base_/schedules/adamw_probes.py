"""Schedule of V-JEPA 2's frozen evaluation: twenty probes, each at the rates of its own.

As `adamw_probe.py`; the rates are those of `model.cls_head` (`ProbesHead`). The figure is that of
the best probe, chosen on the validation videos it is measured on: `best_of_probes/acc/top1` of
`ProbesMetric`, which a config makes its evaluator.
"""

_base_ = 'adamw_probe.py'

optim_wrapper = dict(constructor='mmstadapter.ProbesOptimWrapperConstructor')
