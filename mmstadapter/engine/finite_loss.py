"""Stop a training run whose loss or weights are no longer numbers."""

import math

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop training when the loss, or a weight about to be saved, is infinite or not a number.

    Looks at the loss itself, every iteration. Infinite *gradients* are normal in
    mixed precision while the loss scale is being found; the scaler skips those
    steps and training goes on. Without a scaler they reach the weights, and the next
    loss shows it; where a checkpoint comes before that, the tuned weights are looked at.
    So the last checkpoint on disk is from before the failure.

    Raises:
        FloatingPointError: naming the iteration and every term of the loss, or the weights.
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

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the tuned weights of a checkpoint about to be written."""
        tuned = [(n, p) for n, p in runner.model.named_parameters() if p.requires_grad]
        broken = [name for name, p in tuned if not p.isfinite().all()]
        if broken:
            raise FloatingPointError(
                f'FiniteLossHook: weights must be finite numbers, but {len(broken)} of '
                f'{len(tuned)} tuned tensors are not before iteration {runner.iter + 1} of the '
                f'run, the first is {broken[0]}; no checkpoint is written. Gradients of the last '
                'steps were infinite or not a number although their loss was a number. Lower '
                'optim_wrapper.optimizer.lr, or find the step in anomaly mode '
                '(torch.autograd.set_detect_anomaly), then resume from the last checkpoint.'
            )


def _number(value: torch.Tensor | float) -> float:
    return value.item() if isinstance(value, torch.Tensor) else float(value)
