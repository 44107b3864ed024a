"""Optimizer groups for models of which only a part is tuned."""

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..models.ops.sync_batch_norm import is_synchronised


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TunedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Give the optimizer the tuned parameters, in as few groups as there are settings.

    Understands the ``paramwise_cfg`` of MMEngine's default constructor, which
    makes one group per parameter and a log line per frozen one; one group per
    distinct setting lets AdamW update whole groups at once. Groups and their
    members come in the order of the model's modules, so the optimizer state of
    a checkpoint fits the next run.

    The released ST-Adapter code decays every tuned tensor except those whose
    name contains ``.bias``: ``paramwise_cfg=dict(bias_decay_mult=0.)``. The released
    Side4Video code decays all of them. It divides the learning rate of batch norms by
    the number of batches whose gradients are accumulated, unless their statistics are
    synchronised: ``paramwise_cfg=dict(bn_lr_by_accumulation=True)``.

    Args:
        optim_wrapper_cfg: the config's ``optim_wrapper``, with ``optimizer``.
        paramwise_cfg: MMEngine's options (``bias_decay_mult``, ``custom_keys``, ...), and
            ``bn_lr_by_accumulation``, false by default.

    Raises:
        ValueError: when called with a model in which nothing is tuned, in which no parameter has
            the name of a rule in ``custom_keys``, or whose head states rates of its own.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # An empty paramwise_cfg makes the host pass all parameters, frozen ones included.
        super().__init__(optim_wrapper_cfg, {'custom_keys': {}, **(paramwise_cfg or {})})

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for the tuned parameters of ``model``."""
        frozen = [p for p in model.parameters() if not p.requires_grad]
        if len(frozen) == len(list(model.parameters())):
            raise ValueError(
                f'TunedOptimWrapperConstructor: {type(model).__name__} has no tuned parameters '
                f'to optimise: all {len(frozen)} tensors ({sum(p.numel() for p in frozen):,} '
                'values) are frozen. Give the backbone adapters, or set '
                "model.backbone.trunk.tune to 'bias', 'norm', 'last_1' or 'all'."
            )
        self._refuse_idle_rules(model)
        self._refuse_rates(model)
        with _quiet():
            optim_wrapper = super().__call__(model)
        self._log_groups(optim_wrapper)
        return optim_wrapper

    def add_params(self, params: list[dict], module: nn.Module, *args, **kwargs) -> None:
        """Add the tuned parameters of ``module`` to the groups in ``params``, in place."""
        one_each: list[dict] = []
        super().add_params(one_each, module, *args, **kwargs)
        if self._is_slowed(module):
            for group in one_each:
                group['lr'] = group.get('lr', self.base_lr) / self.accumulated
        seen = {id(p) for group in params for p in group['params']}
        for group in one_each:
            # A parameter shared by two modules is optimised once.
            new = [p for p in group['params'] if id(p) not in seen]
            seen.update(map(id, new))
            if new:
                self._merge(params, new, self._settings(group))

    def _refuse_idle_rules(self, model: nn.Module) -> None:
        """Raise for a rule that would change nothing since no parameter has its name."""
        # As the host spells them: what belongs to the model itself begins with a dot.
        names = [name if '.' in name else f'.{name}' for name, _ in model.named_parameters()]
        rules = self.paramwise_cfg['custom_keys']
        idle = [key for key in rules if not any(key in name for name in names)]
        if idle:
            parts = {name[:i] for name in names for i, c in enumerate(name) if c == '.' and i}
            near = difflib.get_close_matches(idle[0], [*parts, *names], n=1)
            whole = sorted({name.split('.')[0] for name in names} - {''})
            hint = f'Did you mean {near[0]}?' if near else f'Parts: {", ".join(whole)}.'
            raise ValueError(
                f'TunedOptimWrapperConstructor: no parameter of {type(model).__name__} has '
                f'{" or ".join(map(repr, idle))} in its name, so optim_wrapper.paramwise_cfg.'
                f'custom_keys would change nothing. {hint}'
            )

    def _refuse_rates(self, model: nn.Module) -> None:
        """Raise for a head that states rates, which nobody here would read."""
        head = getattr(getattr(model, 'module', model), 'cls_head', None)
        rates = getattr(head, 'rates', {}).values()
        if any(rate is not None for pair in rates for rate in pair):
            raise ValueError(
                f'TunedOptimWrapperConstructor: {type(head).__name__} states rates for each of '
                'its runs, which this constructor does not know. Set optim_wrapper.constructor to '
                'mmstadapter.ProbesOptimWrapperConstructor.'
            )

    @property
    def accumulated(self) -> int:
        """Batches whose gradients are summed up before a step."""
        return self.optim_wrapper_cfg.get('accumulative_counts', 1)

    def _is_slowed(self, module: nn.Module) -> bool:
        wanted = self.paramwise_cfg.get('bn_lr_by_accumulation', False)
        of_process = isinstance(module, _BatchNorm) and not is_synchronised(module)
        return wanted and of_process

    def _settings(self, group: dict) -> dict:
        """A group's effective options, whichever rule they came from."""
        defaults = {'lr': self.base_lr, 'weight_decay': self.base_wd}
        settings = {name: value for name, value in defaults.items() if value is not None}
        names = group.keys() - {'params', 'lr_mult', 'decay_mult'}
        return settings | {name: group[name] for name in sorted(names)}

    @staticmethod
    def _merge(groups: list[dict], new: list[nn.Parameter], settings: dict) -> None:
        for group in groups:
            if {name: value for name, value in group.items() if name != 'params'} == settings:
                group['params'] += new
                return
        groups.append({'params': new, **settings})

    def _log_groups(self, optim_wrapper: OptimWrapper) -> None:
        lines = [
            f'{len(group["params"])} tensors, {sum(p.numel() for p in group["params"]):,} values: '
            f'lr {group["lr"]:g}, weight decay {group.get("weight_decay", 0):g}'
            for group in optim_wrapper.optimizer.param_groups
        ]
        name = type(optim_wrapper.optimizer).__name__
        print_log('\n  '.join([f'{name} tunes', *lines]), logger='current')


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the host's warning for each frozen tensor; the freeze report counts them.

    By a filter, since ``logging.disable`` would mute MMEngine's loggers for good: they keep
    what they once found disabled.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return 'is skipped since its requires_grad' not in record.getMessage()

    logger = MMLogger.get_current_instance()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
