"""A tower as a graph that holds for any batch, and for any number of frames where it can."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from .towers import Tower

LEAST = 3  # frames of a graph that takes any number: what is before and after each frame exists


class Traced(NamedTuple):
    """A graph.

    Args:
        tower: what it is of.
        program: the graph.
        sizes: of the input's open axes, by their numbers.
    """

    tower: Tower
    program: ExportedProgram
    sizes: dict[int, Dim]

    @property
    def takes_any_frames(self) -> bool:
        """Whether the number of frames is open."""
        return 2 in self.sizes


def trace(tower: Tower) -> Traced:
    """Make a graph of a tower; its frames are open unless something holds them.

    Tables of positions in time, tokens that are merged by a plan and a field ``num_frames`` hold
    them: then the graph takes the recipe's number.
    """
    batch = {0: tower.clips * Dim('videos') if tower.clips > 1 else Dim('batch')}
    if tower.given == 'video':
        try:
            return _trace(tower, batch | _frames(tower))
        except Exception:  # noqa: BLE001, S110  (of many kinds; if it is not the frames, it comes again)
            pass
    return _trace(tower, batch)


def _frames(tower: Tower) -> dict[int, Dim]:
    """The open axis of the frames.

    Raises:
        ValueError: if it has to be as it is.
    """
    least, now = LEAST * tower.unit, tower.example.shape[2]
    if now <= least or (tower.most is not None and tower.most <= now):
        raise ValueError('too few frames, or as many as there may be')
    frames = Dim('frames', min=LEAST, max=tower.most and tower.most // tower.unit)
    return {2: frames * tower.unit if tower.unit > 1 else frames}


@torch.no_grad()
def _trace(tower: Tower, sizes: dict[int, Dim]) -> Traced:
    program = torch.export.export(tower.module, (tower.example,), dynamic_shapes=(sizes,))
    return Traced(tower, program, sizes)


def others(traced: Traced) -> list[Tensor]:
    """What the graph is tried on: other batches and frames than it was made with."""
    tower, generator = traced.tower, torch.Generator().manual_seed(1)
    batch, *rest = tower.example.shape
    shapes = [[tower.clips, *rest], [batch + tower.clips, *rest]]
    if traced.takes_any_frames:
        frames = rest[1] + tower.unit
        frames = min(frames, tower.most) if tower.most else frames
        shapes.append([tower.clips, rest[0], frames, *rest[2:]])
    if tower.given == 'ids':
        rows = torch.arange(batch + 1) % batch
        return [tower.example[-1:], tower.example[rows].flip(0)]
    return [torch.randn(shape, generator=generator) for shape in shapes]
