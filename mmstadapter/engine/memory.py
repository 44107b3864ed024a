"""`memory = 'auto'` of a config: recompute as little in the backward pass as fits the device."""

import os
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ..planning.account import GB
from ..planning.choosing import Choice, cheapest_step
from ..planning.machine import available_memory, main_memory
from ..planning.meter import parts_of

GPU_SHARE = 0.93  # of what is free; the rest is the allocator's
CPU_SHARE = 0.8  # the rest is for those who read videos


class DoesNotFit(ValueError):
    """A training that does not fit, or whose memory cannot be planned."""

    is_said_whole = True


@HOOKS.register_module()
class MemoryHook(Hook):
    """Set ``backbone.recompute`` to the cheapest step whose training fits, before training begins.

    The field ``memory`` of a config adds it (`mmstadapter.checks`): ``'auto'`` goes by what the
    device has free, a number of GB (1e9 bytes) by that. The peak is the planner's; results do not
    depend on the step. With several processes the least of their memories counts, so that all
    take the same.

    Raises:
        DoesNotFit: if no step fits, or the training cannot be planned.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose, tell the model and the log."""
        wanted = runner.cfg.get('memory')
        if wanted is None:
            return
        whole: Any = runner.model
        whole = whole.module if is_model_wrapper(whole) else whole
        memory, where = room(wanted, whole)
        choice = self.choose(runner, memory)
        if not choice.fits:
            raise DoesNotFit(refusal(choice, memory, where))
        if choice.step:
            whole.backbone.recompute = choice.step
        runner.logger.info(reason(choice, memory, where))

    @staticmethod
    def choose(runner: Runner, memory: float) -> Choice:
        """What fits of the run's config."""
        on_cpu = get_device() == 'cpu'
        try:
            with torch.random.fork_rng(devices=[]):
                return cheapest_step(runner.cfg, memory, gpus=runner.world_size, on_cpu=on_cpu)
        except Exception as error:
            raise DoesNotFit(
                f"memory={runner.cfg.memory!r}: this config's training cannot be planned: "
                f'{str(error).splitlines()[0]} Leave memory out and set model.backbone.recompute.'
            ) from error


def room(wanted: str | float, model: nn.Module) -> tuple[float, str]:
    """Bytes to fit, the least of all processes, and what they are."""
    if not isinstance(wanted, str):
        return wanted * GB, 'as told'
    free = torch.tensor(free_memory(model), dtype=torch.float64)
    dist.all_reduce(free, op='min')
    gpu = torch.cuda.is_available()
    return free.item(), f'free on {torch.cuda.get_device_name() if gpu else "this CPU"}'


def free_memory(model: nn.Module) -> float:
    """Bytes of the device that a training may take, with those that its model has already."""
    if torch.cuda.is_available():
        return GPU_SHARE * (torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())
    own = sum(part.nbytes for parameter in model.parameters() for part in parts_of(parameter))
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    return CPU_SHARE * ((available_memory() or main_memory()) / processes + own)


def reason(choice: Choice, memory: float, where: str) -> str:
    """What was chosen, and why."""
    sizes = f'{choice.peaks[choice.step] / GB:.2f} GB of {memory / GB:.2f} {where}'
    if not choice.step:
        return f'memory: a step takes {sizes}; this backbone has no choice of recompute.'
    others = choice.others()
    first = f'{others} GB would not fit' if others else 'there is room to keep everything'
    return f'memory: recompute={choice.step!r}, a step takes {sizes}; {first}.'


def refusal(choice: Choice, memory: float, where: str) -> str:
    """What does not fit, and what to change."""
    step, needed = choice.training, choice.peaks[choice.step]
    least = f'not even recompute={choice.step!r} fits'
    what = least if choice.step else 'the training does not fit'
    fits = step.largest(memory)
    if fits:
        advice = f'{fits} fit: set train_dataloader.batch_size={fits}, with'
        advice += ' optim_wrapper.accumulative_counts for the same step'
    else:
        weights = (step.account().frozen + step.account().tuned) / GB
        advice = f'Not even one fits, {weights:.2f} GB are weights: take a smaller trunk or image'
    return (
        f'memory: {what}: {step.videos} videos a step take {needed / GB:.2f} GB of '
        f'{memory / GB:.2f} {where}. {advice}, or give the run a device with more free memory; '
        '`mmstadapter plan` shows what each setting would save.'
    )
