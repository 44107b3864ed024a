"""Training for a number of steps, in epochs."""

from math import ceil

from mmaction.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from .batches import check_batches


@LOOPS.register_module()
class StepTrainLoop(EpochBasedTrainLoop):
    """Train for exactly ``max_steps`` steps; the last epoch ends where they are done.

    For recipes given in steps, as those of the ST-Adapter paper (Table 6). MMEngine's
    ``IterBasedTrainLoop`` knows no epochs, so random numbers do not follow them and a run that
    is resumed first reads all the clips it has already seen. Here validation, checkpoints and
    exact resuming go by epochs, as with ``EpochBasedTrainLoop``. Give the schedule in steps:

        train_cfg = dict(type='mmstadapter.StepTrainLoop', max_steps=20000)
        param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=3333, by_epoch=False)]

    Args:
        runner: given by the runner, as is ``dataloader``.
        dataloader: training batches; their number is the length of an epoch.
        max_steps: optimiser steps in all.
        kwargs: ``val_begin``, ``val_interval`` (in epochs; the last one is always validated)
            and ``dynamic_intervals`` of ``EpochBasedTrainLoop``.

    Raises:
        ValueError: if ``max_steps`` is not a positive whole number, or there are no batches.
    """

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict, max_steps: int, **kwargs
    ) -> None:
        if max_steps < 1 or max_steps != int(max_steps):
            raise ValueError(
                f'StepTrainLoop: max_steps must be a positive whole number, got {max_steps}.'
            )
        super().__init__(runner, dataloader, max_epochs=1, **kwargs)
        check_batches('StepTrainLoop', len(self.dataloader))
        self._max_epochs = ceil(max_steps / len(self.dataloader))
        self._max_iters = int(max_steps)

    def run_epoch(self) -> None:
        """One epoch, or what is left of the steps."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
            if self._iter == self._max_iters:
                break
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
