"""Several side networks, or a side network and a probe, on one pass of a frozen trunk."""

from collections.abc import Sequence
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import check_video
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from ..trunks.base import Trunk
from .beside import check_portion, trunk_layers
from .grid import runs_of
from .outputs import check_output, join_frames, out_width


@MODELS.register_module()
class FrameMean(BaseModule):
    """What `FrameMeanViT` reads, as a branch of `SharedTrunkViT`; it has no parameters.

    Args:
        trunk: the built image encoder that it will stand beside.
        output: ``'clip'``, (B, D), or ``'frames'``, (B, T, E).
    """

    def __init__(self, trunk: Trunk, output: str = 'clip') -> None:
        super().__init__()
        self.output = check_output(output, trunk, 'FrameMean')
        self.last = len(trunk.blocks) - 1
        self.out_channels = out_width(trunk, output)

    def start(self, video: Tensor) -> None:
        """Nothing is carried along."""

    def read(
        self, s: None, layer: int, tokens: Sequence[Tensor], trunk: Trunk, num_frames: int
    ) -> None:
        """Nothing is read before the last layer."""

    def finish(self, s: None, tokens: Sequence[Tensor], trunk: Trunk, num_frames: int) -> Tensor:
        """Last layer's chunks (M, prefix + N, D) -> (B, D) or (B, T, E)."""
        x = torch.cat([trunk.readout(chunk) for chunk in tokens])
        return join_frames(trunk, x, num_frames, self.output)


@MODELS.register_module()
class SharedTrunkViT(Recomputing, BaseModule):
    """One frozen trunk, several tasks or settings: each branch reads the layers as they pass.

    The results are those of separate models; the trunk, most of the work, runs once. For
    training and testing several tasks together use `MultiTaskHead`; for one task and a grid of
    widths and rates `SweepRecognizer`. A branch starts from the random numbers that it would
    start from alone.

    Args:
        trunk: the pretrained image encoder or its config.
        branches: name -> config of a branch, `SideNetwork` or `FrameMean`.
        frames_per_pass: see `Side4VideoViT`.
        grids: name of a branch -> lists of its options and rates, of which each combination is a
            branch; see `runs_of`.
        recompute, with_cp: of all branches, see `SideNetwork`; each branch's own if None.

    Raises:
        ValueError: if there are no branches, or something in the trunk is tuned, which
            separate models could not share; for a grid that is none.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        branches: dict[str, dict],
        frames_per_pass: int | None = 64,
        grids: dict[str, dict] | None = None,
        recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'SharedTrunkViT')
        self.frames_per_pass = check_portion(frames_per_pass)
        if not branches or self.trunk.tune != 'none' or self.trunk.lora:
            raise ValueError(
                'SharedTrunkViT: needs one branch or more and a frozen trunk, got branches '
                f'{list(branches)}, tune={self.trunk.tune!r} and lora={self.trunk.lora!r}.'
            )
        for name, branch in branches.items():
            if not hasattr(MODELS.get(branch['type']), 'read'):
                raise ValueError(
                    f'SharedTrunkViT: branch {name!r} must be of type SideNetwork or FrameMean, '
                    f'got {branch["type"]!r}.'
                )
        self.runs = runs_of(branches, grids or {})
        self.chance: dict[str, Tensor] = {}  # where random numbers stand behind each branch
        self.branches = nn.ModuleDict()
        start = torch.get_rng_state()
        for name, run in self.runs.items():
            torch.set_rng_state(start)
            self.branches[name] = MODELS.build(dict(run.branch, trunk=self.trunk))
            self.chance[name] = torch.get_rng_state()
        if (recompute, with_cp) != (None, None):
            self.recompute = chosen_step(recompute, with_cp, 'SharedTrunkViT')

    @property
    def probes(self) -> list[nn.Module]:
        """The branches in order, as ``ProbesOptimWrapperConstructor`` asks for them."""
        return list(self.branches.values())

    @property
    def out_channels(self) -> dict[str, int]:
        """Width of each branch's feature, which its head's ``in_channels`` must be."""
        return {name: branch.out_channels for name, branch in self.branches.items()}

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """(B, 3, T, H, W) -> name of a branch -> its feature, (B, C) or (B, T, E)."""
        check_video(video, 'SharedTrunkViT')
        num_frames, trunk = video.shape[2], self.trunk
        carried: dict[str, Any] = {n: branch.start(video) for n, branch in self.branches.items()}
        features: dict[str, Tensor] = {}
        last = max(branch.last for branch in self.branches.values())
        for i, tokens in enumerate(trunk_layers(trunk, video, last, self.frames_per_pass)):
            for name, branch in self.branches.items():
                if i <= branch.last:
                    carried[name] = branch.read(carried[name], i, tokens, trunk, num_frames)
                if i == branch.last:
                    s = carried.pop(name)
                    features[name] = branch.finish(s, tokens, trunk, num_frames)
        return {name: features[name] for name in self.branches}
