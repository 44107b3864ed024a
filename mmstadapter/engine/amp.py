"""Mixed precision where the machine has it, the same config elsewhere."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.device import (
    is_cuda_available,
    is_mlu_available,
    is_musa_available,
    is_npu_available,
)
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as HostAmpOptimWrapper
from mmengine.optim import OptimWrapper
from torch import nn

_DTYPES = ('float16', 'bfloat16', 'float32', 'float64')


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(HostAmpOptimWrapper):
    """MMEngine's ``AmpOptimWrapper`` that also trains on a machine without accelerator.

    With an accelerator it is MMEngine's: autocast (float16 by default) and a
    dynamic loss scale. MMEngine's refuses to start on a CPU; here the same config
    then trains in float32 and says so, or under bfloat16 autocast where
    ``dtype='bfloat16'``. A checkpoint moves between the two kinds of machine.

    Args:
        loss_scale: 'dynamic', a fixed scale, or arguments of torch's GradScaler.
            Not used on a CPU.
        dtype: autocast type; None means the device's own default (float16 on CUDA).
        use_fsdp: use the sharded scaler; not used on a CPU.
        **kwargs: arguments of MMEngine's ``OptimWrapper`` (``optimizer``,
            ``clip_grad``, ``accumulative_counts``).

    Raises:
        ValueError: if ``dtype`` is not one of the known names.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = 'dynamic',
        dtype: str | torch.dtype | None = None,
        use_fsdp: bool = False,
        **kwargs,
    ) -> None:
        if isinstance(dtype, str) and dtype not in _DTYPES:
            raise ValueError(f'AmpOptimWrapper: dtype must be one of {_DTYPES}, got {dtype!r}.')
        if _has_accelerator():
            super().__init__(loss_scale=loss_scale, dtype=dtype, use_fsdp=use_fsdp, **kwargs)
            return
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)
        self._scale_update_param = None
        on_bfloat16 = dtype in ('bfloat16', torch.bfloat16)
        self.cast_dtype = torch.bfloat16 if on_bfloat16 else torch.float32
        print_log(
            f'AmpOptimWrapper: no accelerator here, training on the CPU in {self.cast_dtype} '
            'without loss scale.',
            logger='current',
            level=logging.WARNING,
        )

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state and, if both sides scale the loss, the scaler's."""
        state = dict(state_dict)
        if not state.get('loss_scaler'):  # written on a CPU
            state.pop('loss_scaler', None)
        super().load_state_dict(state)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass; no gradient exchange while accumulating."""
        if _has_accelerator():
            with super().optim_context(model):
                yield
            return
        cast = torch.autocast('cpu', torch.bfloat16, enabled=self.cast_dtype == torch.bfloat16)
        with OptimWrapper.optim_context(self, model), cast:
            yield


def _has_accelerator() -> bool:
    return is_cuda_available() or is_npu_available() or is_mlu_available() or is_musa_available()
