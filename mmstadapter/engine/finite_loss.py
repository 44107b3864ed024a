"""Stop a training run whose loss is no longer a number."""

import math

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop training when the loss is infinite or not a number.

    Looks at the loss itself, every iteration. Infinite *gradients* are normal in
    mixed precision while the loss scale is being found; the scaler skips those
    steps and training goes on. The check comes before a checkpoint is written,
    so the last one on disk is from before the failure.

    Raises:
        FloatingPointError: naming the iteration and every term of the loss.
    """

    priority = 'ABOVE_NORMAL'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the loss of the iteration that just ended."""
        if outputs is None or 'loss' not in outputs:
            return
        loss = _number(outputs['loss'])
        if math.isfinite(loss):
            return
        terms = ', '.join(f'{name} {_number(value):g}' for name, value in outputs.items())
        raise FloatingPointError(
            f'FiniteLossHook: the training loss must be a finite number, got {loss} in epoch '
            f'{runner.epoch + 1}, iteration {batch_idx + 1} of {len(runner.train_dataloader)} '
            f'(iteration {runner.iter + 1} of the run; {terms}). Lower optim_wrapper.optimizer.lr, '
            "set optim_wrapper.dtype='bfloat16' or optim_wrapper.clip_grad=dict(max_norm=1), "
            'then resume from the last checkpoint.'
        )


def _number(value: torch.Tensor | float) -> float:
    return value.item() if isinstance(value, torch.Tensor) else float(value)
