"""Linear warm-up from zero, then a cosine down to zero, for every iteration."""

import logging
import math

from mmaction.registry import PARAM_SCHEDULERS
from mmengine.logging import print_log
from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from torch.optim import Optimizer

from .batches import check_batches

# What the config says, as opposed to how far training has come.
_SETTINGS = (
    'warmup', 'begin', 'end', 'epoch_length', 'update_interval', 'by_epoch', 'start_factor',
    'cosine_from_start',
)  # fmt: skip


def warmup_cosine(
    epoch: float,
    warmup: float,
    epochs: float,
    start_factor: float = 0.0,
    cosine_from_start: bool = False,
) -> float:
    """Factor on the learning rate at a (fractional) epoch, between 0 and 1."""
    begin = 0 if cosine_from_start else warmup
    cosine = (1 + math.cos(math.pi * (max(epoch, warmup) - begin) / (epochs - begin))) / 2
    if epoch < warmup:
        return start_factor + (cosine - start_factor) * epoch / warmup
    return cosine


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Learning rate that rises from 0 over the warm-up and falls to 0 as a cosine.

    The schedule of the released ST-Adapter and Side4Video code. With ``e`` the
    training progress in epochs, ``e = epoch + iteration / epoch_length``:

        factor = e / warmup                                        if e < warmup
        factor = (1 + cos(pi (e - warmup) / (epochs - warmup))) / 2  otherwise

    so the first iteration runs with learning rate 0. It is a closed form of the
    position: nothing accumulates, and a resumed run gets the same rates. In a
    config, lengths are in epochs:

        dict(type='mmstadapter.WarmupCosineLR', warmup=2, by_epoch=True,
             convert_to_iter_based=True)

    ``start_factor`` lets the warm-up begin above 0, and ``cosine_from_start`` lets the cosine run
    from the beginning, so that the warm-up ends on it; the released DiST code has both.

    Args:
        optimizer: the optimizer or its wrapper; given by the runner.
        warmup: length of the warm-up in epochs, less than ``end - begin``.
        begin: first iteration of the schedule (in a config: epoch).
        end: iteration at which 0 is reached (in a config: epoch; the runner
            fills in the last one).
        epoch_length: iterations in an epoch; given by the runner. With the
            default of 1, ``warmup`` counts iterations.
        start_factor: factor at the beginning of the warm-up, from 0 to 1.
        cosine_from_start: whether the cosine begins with the warm-up instead of after it.
        update_interval: compute a new rate at the first and at every n-th
            iteration of an epoch and hold it in between. 1 for ST-Adapter, 10
            for Side4Video, whose first nine iterations thus run with rate 0.
        by_epoch: must be False here; ``convert_to_iter_based`` sees to it.
        last_step: index of the last step, -1 for a new run.
        verbose: print every change.

    Raises:
        ValueError: if the schedule would be constant within an epoch, or has
            no room for its warm-up, or an option is out of its range.
    """

    def __init__(
        self,
        optimizer: BaseOptimWrapper | Optimizer,
        warmup: float,
        end: int,
        begin: int = 0,
        epoch_length: int = 1,
        update_interval: int = 1,
        start_factor: float = 0.0,
        cosine_from_start: bool = False,
        by_epoch: bool = False,
        last_step: int = -1,
        verbose: bool = False,
    ) -> None:
        if by_epoch:
            raise ValueError(
                'WarmupCosineLR: the rate changes every iteration, got by_epoch=True alone, '
                'which would train the first epoch with learning rate 0. '
                'Add convert_to_iter_based=True.'
            )
        epochs = (end - begin) / epoch_length
        if not 0 <= warmup < epochs:
            raise ValueError(
                f'WarmupCosineLR: warmup must be at least 0 and shorter than the schedule of '
                f'{epochs:g} epochs, got {warmup}. Lower warmup or raise train_cfg.max_epochs.'
            )
        if update_interval < 1:
            raise ValueError(
                f'WarmupCosineLR: update_interval must be 1 or more, got {update_interval}.'
            )
        if not 0 <= start_factor <= 1:
            raise ValueError(
                f'WarmupCosineLR: start_factor must be from 0 to 1, got {start_factor}.'
            )
        self.warmup = warmup
        self.start_factor, self.cosine_from_start = start_factor, cosine_from_start
        self.epoch_length = epoch_length
        self.update_interval = update_interval
        super().__init__(
            optimizer,
            'lr',
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=False,
            verbose=verbose,
        )

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: BaseOptimWrapper | Optimizer,
        *,
        epoch_length: int,
        end: float,
        begin: float = 0,
        by_epoch: bool = True,
        **kwargs,
    ) -> 'WarmupCosineLR':
        """Build from a config in epochs; ``epoch_length`` is iterations per epoch.

        Raises:
            ValueError: if there are none, or lengths are not given in epochs.
        """
        if not by_epoch:
            raise ValueError(
                'WarmupCosineLR: convert_to_iter_based needs lengths in epochs, '
                'got by_epoch=False. Set by_epoch=True.'
            )
        check_batches(cls.__name__, epoch_length)
        begin, end = int(begin * epoch_length), int(end * epoch_length)
        return cls(optimizer, begin=begin, end=end, epoch_length=epoch_length, **kwargs)

    @property
    def position(self) -> float:
        """Where in the schedule the present rate is taken from, in epochs."""
        epoch, i = divmod(self.last_step, self.epoch_length)
        if self.update_interval > 1:
            # held since the last iteration with i = 0 or i + 1 divisible by the interval
            i = max((i + 1) // self.update_interval * self.update_interval - 1, 0)
        return epoch + i / self.epoch_length

    @property
    def factor(self) -> float:
        """Factor on the initial learning rate at the present iteration."""
        epochs = (self.end - self.begin) / self.epoch_length
        options = (self.start_factor, self.cosine_from_start)
        return warmup_cosine(self.position, self.warmup, epochs, *options)

    def _get_value(self) -> list[float]:
        return [base * self.factor for base in self.base_values]

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over how far training has come; the settings stay the config's.

        A run resumed with more epochs follows the longer schedule from there on,
        and one resumed with another number of iterations per epoch (other batch
        size or number of processes) keeps its position in epochs.
        """
        state = dict(state_dict)
        saved = {name: state.pop(name) for name in _SETTINGS if name in state}
        changed = [name for name, value in saved.items() if value != getattr(self, name)]
        if changed:
            was = ', '.join(f'{name} {saved[name]} -> {getattr(self, name)}' for name in changed)
            print_log(
                f'WarmupCosineLR: resumed with other settings than the checkpoint had ({was}); '
                'the learning rate follows the config from here on.',
                logger='current',
                level=logging.WARNING,
            )
        # Steps after the saved end were counted, but the position stood still.
        state['last_step'] += max(state['_global_step'] - saved.get('end', self.end) + 1, 0)
        old_length = saved.get('epoch_length', self.epoch_length)
        if old_length != self.epoch_length:
            ratio = self.epoch_length / old_length
            for name in ('last_step', '_global_step'):
                state[name] = round(state[name] * ratio)
        super().load_state_dict(state)
        if changed:
            self._apply()

    def _apply(self) -> None:
        """Write the present rate into the optimizer, without taking a step."""
        values = self._get_value()
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            group[self.param_name] = value
        self._last_value = values
