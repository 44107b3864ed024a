"""The least that has to be computed again in the backward pass so that a step fits a memory."""

from typing import NamedTuple

from mmengine.config import Config

from ..models.recomputing import STEPS
from .account import GB
from .settings import changed, recomputing, takes
from .step import TrainingStep


class Choice(NamedTuple):
    """A step of ``recompute``, and what was looked at.

    Attributes:
        step: the cheapest that fits, or else the one that takes least; '' for a backbone that
            does not take the field.
        training: with it.
        fits: whether it does.
        peaks: step -> bytes of a training step, the cheapest first, up to what fits.
    """

    step: str
    training: TrainingStep
    fits: bool
    peaks: dict[str, int]

    def others(self) -> str:
        """The other steps that were looked at, with their GB; '' if there are none."""
        sizes = (f'{name} {p / GB:.2f}' for name, p in self.peaks.items() if name != self.step)
        return ', '.join(sizes)


def cheapest_step(
    config: Config,
    memory: float,
    steps: tuple[str, ...] = STEPS,
    gpus: int = 1,
    on_cpu: bool = False,
) -> Choice:
    """The first step whose training fits.

    Args:
        config: of the training.
        memory: bytes.
        steps: of ``recompute``, the cheapest first.
        gpus, on_cpu: see `TrainingStep`.
    """
    backbone = config.model.backbone
    tried: dict[str, TrainingStep] = {}
    for step in steps if takes(backbone, 'recompute') else ('',):
        given = changed(config, recomputing(backbone, step).options) if step else config
        tried[step] = TrainingStep(given, gpus, on_cpu)
        if tried[step].account().peak <= memory:
            break
    peaks = {name: training.account().peak for name, training in tried.items()}
    best = step if peaks[step] <= memory else min(peaks, key=lambda name: peaks[name])
    return Choice(best, tried[best], peaks[best] <= memory, peaks)
