"""The least that has to be computed again in the backward pass so that a step fits a memory."""

from typing import NamedTuple

from mmengine.config import Config

from ..models.recomputing import STEPS
from .account import GB
from .settings import changed, recomputing, takes
from .step import TrainingStep


class Choice(NamedTuple):
    """What was looked at, the cheapest first, up to what fits.

    Attributes:
        peaks: step of ``recompute`` -> bytes of a training step; one, under '', of a backbone that
            does not take the field.
        training: of the last of them.
        fits: whether it does.
    """

    peaks: dict[str, int]
    training: TrainingStep
    fits: bool

    @property
    def step(self) -> str:
        """The one to take: the cheapest that fits, or else what takes least."""
        return list(self.peaks)[-1]

    def others(self) -> str:
        """The steps before it with their GB, '' if it is the first."""
        sizes = [f'{name} {peak / GB:.2f}' for name, peak in self.peaks.items()]
        return ', '.join(sizes[:-1])


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
    peaks: dict[str, int] = {}
    for step in steps if takes(backbone, 'recompute') else ('',):
        given = changed(config, recomputing(backbone, step).options) if step else config
        training = TrainingStep(given, gpus, on_cpu)
        peaks[step] = training.account().peak
        if peaks[step] <= memory:
            return Choice(peaks, training, True)
    return Choice(peaks, training, False)
