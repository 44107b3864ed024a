"""The optimizer of CLIP4Clip and Side4Video's retrieval, its schedule and its groups."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS, PARAM_SCHEDULERS
from torch import Tensor, nn
from torch.optim import Optimizer

from .tuned_optim import TunedOptimWrapperConstructor
from .warmup_cosine import WarmupCosineLR


@OPTIMIZERS.register_module()
class BertAdam(Optimizer):
    """Adam without bias correction, with decoupled decay and a gradient norm a tensor.

    The released ``BertAdam``. For each tensor p with gradient g, clipped to norm c:

        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) g²
        p = p - lr ( m / (sqrt(v) + eps) + weight_decay p )

    The learning rate follows a scheduler (`BertWarmupCosineLR`). Recipes clip the norm of all
    gradients before (``optim_wrapper.clip_grad``); here each tensor is clipped again, in place.
    A tensor without gradient is not decayed. The released code counts steps tensor by tensor, so
    one that sometimes lacks a gradient lags behind in its schedule there, and not here.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: (b1, b2).
        eps: added to the root.
        weight_decay: decay, times the learning rate.
        max_grad_norm: c, or ``None`` not to clip.

    Raises:
        ValueError: for a setting out of range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.2,
        max_grad_norm: float | None = 1.0,
    ) -> None:
        in_range = lr >= 0 and eps >= 0 and weight_decay >= 0 and all(0 <= b < 1 for b in betas)
        if not in_range or (max_grad_norm is not None and max_grad_norm <= 0):
            raise ValueError(
                'BertAdam: needs lr, eps and weight_decay of at least 0, betas from 0 to below 1 '
                f'and a positive max_grad_norm or None, got lr={lr}, eps={eps}, '
                f'weight_decay={weight_decay}, betas={betas}, max_grad_norm={max_grad_norm}.'
            )
        settings = dict(betas=tuple(betas), eps=eps, max_grad_norm=max_grad_norm)
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, **settings))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Returns:
            What ``closure`` gives, or None.

        Raises:
            RuntimeError: for sparse gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group['params'] if p.grad is not None]
            if any(p.grad.is_sparse for p in params):
                raise RuntimeError('BertAdam: gradients must be dense; set sparse=False.')
            if params:
                self._update(params, group)
        return loss

    def _update(self, params: list[Tensor], group: dict) -> None:
        """One step of a group's parameters."""
        grads = [p.grad for p in params]
        clip_each(grads, group['max_grad_norm'])
        for p in params:
            if not self.state[p]:
                self.state[p] = dict(exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        first = [self.state[p]['exp_avg'] for p in params]
        second = [self.state[p]['exp_avg_sq'] for p in params]
        b1, b2 = group['betas']
        torch._foreach_mul_(first, b1)
        torch._foreach_add_(first, grads, alpha=1 - b1)
        torch._foreach_mul_(second, b2)
        torch._foreach_addcmul_(second, grads, grads, value=1 - b2)
        roots = torch._foreach_sqrt(second)
        torch._foreach_add_(roots, group['eps'])
        update = torch._foreach_div(first, roots)
        if group['weight_decay'] > 0:
            torch._foreach_add_(update, params, alpha=group['weight_decay'])
        torch._foreach_add_(params, update, alpha=-group['lr'])


def clip_each(grads: list[Tensor], max_norm: float | None) -> None:
    """Scale each gradient, in place, to at most a norm; without waiting for the device."""
    if max_norm is not None:
        norms = torch._foreach_norm(grads)
        factors = [(max_norm / (norm + 1e-6)).clamp(max=1.0) for norm in norms]
        torch._foreach_mul_(grads, factors)


def bert_warmup_cosine(progress: float, warmup: float) -> float:
    """BertAdam's factor on the learning rate at a share of the training, from 0 to 1.

    Linear up to ``warmup``, then a cosine that started at 0: it drops from 1 to
    (1 + cos(pi warmup)) / 2 at the end of the warm-up.
    """
    return progress / warmup if progress < warmup else (1 + math.cos(math.pi * progress)) / 2


@PARAM_SCHEDULERS.register_module()
class BertWarmupCosineLR(WarmupCosineLR):
    """The schedule built into the released ``BertAdam``.

    With ``x`` the share of the iterations done and ``w`` the warm-up's share:

        factor = x / w                  if x < w
        factor = (1 + cos(pi x)) / 2    otherwise

    `WarmupCosineLR` starts its cosine after the warm-up instead. The first iteration runs with
    learning rate 0. In a config lengths are in epochs; for a tenth of 5 epochs:

        dict(type='mmstadapter.BertWarmupCosineLR', warmup=0.5, by_epoch=True,
             convert_to_iter_based=True)

    Args:
        args, kwargs: as `WarmupCosineLR`.
    """

    @property
    def factor(self) -> float:
        """Factor on the initial learning rate at the present iteration."""
        epochs = (self.end - self.begin) / self.epoch_length
        return bert_warmup_cosine(self.position / epochs, self.warmup / epochs)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NamedGroupsConstructor(TunedOptimWrapperConstructor):
    """Optimizer groups by name: learning rates by prefix, no decay by a part of the name.

    The released retrieval recipe: what comes from CLIP at a thousandth of the rate, no decay
    for names that contain ``bias`` (attention's ``in_proj_bias`` too, which the host's
    ``bias_decay_mult`` does not know):

        paramwise_cfg=dict(
            lr_mult={'backbone.trunk.': 1e-3, 'text_tower.': 1e-3, 'logit_scale': 1e-3},
            no_decay=['bias'])

    Args:
        optim_wrapper_cfg: the config's ``optim_wrapper``, with ``optimizer``.
        paramwise_cfg: ``lr_mult``, factor by start of name, the longest start that fits
            counts; ``no_decay``, parts of names.

    Raises:
        ValueError: for other options; when called, for a start that no parameter of the
            model has, and if nothing is tuned.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = dict(paramwise_cfg or {})
        self.lr_mult: dict[str, float] = dict(options.pop('lr_mult', {}))
        no_decay: str | Sequence[str] = options.pop('no_decay', ())
        self.no_decay = (no_decay,) if isinstance(no_decay, str) else tuple(no_decay)
        if options:
            raise ValueError(
                f'NamedGroupsConstructor: knows lr_mult and no_decay, got {sorted(options)}. '
                "TunedOptimWrapperConstructor has MMEngine's options."
            )
        super().__init__(optim_wrapper_cfg)

    def add_params(self, params: list[dict], module: nn.Module, *args, **kwargs) -> None:
        """Add the tuned parameters of the model ``module`` to ``params``, in place."""
        names = [name for name, _ in module.named_parameters()]
        idle = [start for start in self.lr_mult if not any(n.startswith(start) for n in names)]
        if idle:
            raise ValueError(
                f'NamedGroupsConstructor: no parameter of {type(module).__name__} starts with '
                f'{idle}. Parts: {sorted({n.split(".")[0] for n in names})}. Correct '
                'optim_wrapper.paramwise_cfg.lr_mult.'
            )
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                self._merge(params, [parameter], self._settings_of(name))

    def _settings_of(self, name: str) -> dict:
        """Learning rate and decay of a parameter."""
        starts = [start for start in self.lr_mult if name.startswith(start)]
        settings = {}
        if self.base_lr is not None:
            settings['lr'] = self.base_lr * self.lr_mult.get(max(starts, key=len, default=''), 1.0)
        if self.base_wd is not None:
            decayed = not any(part in name for part in self.no_decay)
            settings['weight_decay'] = self.base_wd if decayed else 0.0
        return settings
