"""An optimizer for several probes or branches on one trunk, each at rates of its own."""

from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import OptimWrapper
from torch import nn

from ..models.heads import ProbesHead
from .tuned_optim import TunedOptimWrapperConstructor


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ProbesOptimWrapperConstructor(TunedOptimWrapperConstructor):
    """Give each probe and its classifier the rates that `ProbesHead` states for it.

    The same for each branch of a sweep, by `SweepHead`; where that states none, the config's.
    ``lr`` and ``weight_decay`` of the config's optimizer are those of whatever else is tuned, such
    as a trunk; ``paramwise_cfg`` multiplies the probes' rates as it does these.

    Args:
        optim_wrapper_cfg, paramwise_cfg: see `TunedOptimWrapperConstructor`.

    Raises:
        ValueError: when called with a model of other parts, or with gradients that are clipped,
            by a norm that is the probes' together.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for the probes of ``model``."""
        if self.optim_wrapper_cfg.get('clip_grad'):
            raise ValueError(
                'ProbesOptimWrapperConstructor: clip_grad takes the norm of all probes together, '
                'so that one would change the others. Leave it out.'
            )
        inner = getattr(model, 'module', model)
        head, probes = inner.cls_head, getattr(inner.backbone, 'probes', ())
        if not isinstance(head, ProbesHead) or len(head.rates) != len(probes):
            raise ValueError(
                'ProbesOptimWrapperConstructor: the model must have a ProbeViT and a ProbesHead '
                'with as many pairs of rates as there are probes, or a SharedTrunkViT and a '
                f'SweepHead; got {type(head).__name__} and {len(probes)} probes. Set '
                'model.backbone.num_probes.'
            )
        parts = zip(head.rates.items(), probes, head.heads, strict=True)
        self.rates = {
            id(p): (name, self._stated(*rates))
            for (name, rates), *own in parts
            for part in own
            for p in part.parameters()
        }
        return super().__call__(model)

    def _refuse_rates(self, model: nn.Module) -> None:
        """None: they are what this one is for."""

    def _stated(self, lr: float | None, decay: float | None) -> tuple[float, float]:
        """A probe's rates; the optimizer's where it has none of its own."""
        return (
            self.base_lr if lr is None else lr,
            (self.base_wd or 0.0) if decay is None else decay,
        )

    def _settings(self, group: dict) -> dict:
        """A group's effective options: a probe's own rates, times what rules multiply them by."""
        settings, own = super()._settings(group), self.rates.get(id(group['params'][0]))
        if own is None or 'probe' in group:  # as it was found for the module inside
            return settings
        name, (lr, decay) = own
        lr *= settings['lr'] / self.base_lr if self.base_lr else 1.0
        decay *= settings['weight_decay'] / self.base_wd if self.base_wd else 1.0
        return settings | dict(lr=lr, weight_decay=decay, probe=name)
