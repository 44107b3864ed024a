"""V-JEPA 2's attentive probe: `AttentivePooler` on all tokens of a frozen trunk."""

from collections.abc import Sequence

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import check_video
from ..ops.elementwise import keep_in_graph
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from .attentive_pooler import AttentivePooler
from .beside import check_portion, idle_parameters, trunk_layers
from .by_frame import ByFrame, Looked, joined

TOKENS = ('patches', 'all')


@MODELS.register_module()
class ProbeViT(ByFrame, Recomputing, BaseModule):
    """Frozen trunk whose last tokens, of all frames in one sequence, an attentive probe pools.

    Of an image trunk the tokens of a clip's frames are put one after another; nothing says
    which frame a token is of. Followed by ``VideoHead(dropout_ratio=0, init_std=None)`` it is
    V-JEPA 2's ``AttentiveClassifier``. Several probes on one pass of the trunk learn at rates
    of their own: `ProbesHead`, ``ProbesOptimWrapperConstructor``.

    Args:
        trunk: the pretrained image or video encoder, or its config.
        depth, num_heads, mlp_ratio, complete_block: see `AttentivePooler`.
        num_queries: learned queries, whose mean is the feature; one as released.
        num_probes: probes beside each other, which do not see one another.
        num_segments: clips of a video that are read together, apart only in the trunk; they
            follow each other in the batch, as ``SampleFrames(num_clips=...)`` puts them.
        tokens: ``'patches'``, or ``'all'`` with class token and registers.
        final_norm: read the tokens behind the trunk's last norm, as V-JEPA 2 does.
        frames_per_pass: frames the trunk takes at a time; None for all at once.
        recompute, with_cp: what the backward pass computes again, see `STAdapterViT`: of the
            probes, and of the trunk's layers where these are trained.

    Raises:
        ValueError: for options that do not fit the trunk.
    """

    def __init__(
        self, trunk: dict | nn.Module, depth: int = 4, num_heads: int = 16,
        mlp_ratio: float = 4.0, num_queries: int = 1, complete_block: bool = True,
        num_probes: int = 1, num_segments: int = 1, tokens: str = 'patches',
        final_norm: bool = True, frames_per_pass: int | None = 64, recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.trunk = built_trunk(trunk, 'ProbeViT', clips=True)
        if tokens not in TOKENS or min(num_probes, num_segments) < 1:
            raise ValueError(
                f'ProbeViT: tokens must be one of {", ".join(TOKENS)}, num_probes and '
                f'num_segments at least 1, got {tokens!r}, {num_probes} and {num_segments}.'
            )
        self.out_channels = self.trunk.embed_dims
        self.num_segments, self.final_norm = num_segments, final_norm
        self.skipped = self.trunk.num_prefix_tokens if tokens == 'patches' else 0
        self.frames_per_pass = check_portion(frames_per_pass, 'ProbeViT')
        options = (depth, num_heads, mlp_ratio, num_queries, complete_block)
        self.probes = nn.ModuleList(
            AttentivePooler(self.out_channels, *options) for _ in range(num_probes)
        )
        self.recompute = chosen_step(recompute, with_cp, 'ProbeViT')

    def forward(self, video: Tensor) -> Tensor:
        """(B·S, 3, T, H, W), S segments a video -> (B, D), or (B, P, D) of P > 1 probes."""
        return self.pool(self.tokens(video))

    def look(self, images: Tensor) -> Looked:
        """The tokens that the probes read. (M, 3, H, W) -> (M, L, D)."""
        return (self.last_tokens(images.unsqueeze(2)),)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """Pool them; see `ByFrame`."""
        return self.pool(self.of_videos(joined(looked), video))

    def pool(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, D), or (B, P, D) of P > 1 probes."""
        features = [probe(x).mean(dim=1) for probe in self.probes]
        return features[0] if len(features) == 1 else torch.stack(features, dim=1)

    def tokens(self, video: Tensor) -> Tensor:
        """What the probes read. (B·S, 3, T, H, W) -> (B, L, D)."""
        self._check(video)
        return self.of_videos(self.last_tokens(video), video)

    def of_videos(self, tokens: Tensor, video: Tensor) -> Tensor:
        """Tokens of frames (M, L, D) in one sequence for each video of S clips."""
        self._check(video)
        return rearrange(tokens, '(b m) l d -> b (m l) d', b=video.shape[0] // self.num_segments)

    def _check(self, video: Tensor) -> None:
        check_video(video, 'ProbeViT')
        if video.shape[0] % self.num_segments:
            raise ValueError(
                f'ProbeViT: the batch must be num_segments={self.num_segments} clips of each '
                f'video, got {video.shape[0]} clips. Set num_clips of SampleFrames to it.'
            )

    def last_tokens(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, L, D), of a video encoder (B, L, D)."""
        last, trunk = len(self.trunk.blocks) - 1, self.trunk
        layers = trunk_layers(trunk, video, last, self.frames_per_pass, run=self.trunk_block)
        for chunks in layers:
            x = chunks
        normed = map(trunk.norm_tokens, x) if self.final_norm else x
        y = torch.cat([tokens[:, self.skipped :] for tokens in normed])
        return keep_in_graph(y, idle_parameters(trunk, last))
