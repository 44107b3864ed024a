"""TempMe: frames that become one clip block by block, and tokens that become one inside it.

Shen et al., "TempMe: Video Temporal Token Merging for Efficient Text-Video Retrieval", ICLR 2025.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from einops import rearrange, reduce
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import images_of
from ..ops.low_rank import Beside, low_rank_maps
from ..ops.positions import add_time
from ..ops.token_merge import TokenMerge, join_clips
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from ..trunks.block import require_class_token, require_mix
from .outputs import check_output, join_frames, out_width
from .temp_me_schedule import Schedule, Step


@MODELS.register_module()
class TempMeViT(Recomputing, BaseModule):
    """Frames are clips of one frame; merging blocks join k neighbouring clips into one.

        in a merging block:  metric = join(x);  x = join(x + Q[clip]);  x = merge(x, metric, r0)
        q, k, v = W_qkv norm1 x + B A norm1 x
        x = x + W_o softmax(q k^T / sqrt(d) + log size) v
        x = merge(x, mean over heads of k, r1)
        x = x + MLP(norm2 x)

    `TokenMerge` says what merges, `Schedule` how much. Class tokens never merge, so each frame
    has a feature in the end. Merging acts from the first step: it does not start as CLIP. The
    released model has `TempMeText` beside it. Only `trace` merges behind the last attention.

    Args:
        trunk: the pretrained image encoder or its config; its blocks must offer ``mix``.
        num_frames: which Q was made for; other multiples of all ``merge_frames`` take the
            nearest clips' vectors.
        merge_layers: blocks that join clips, from 0.
        merge_frames: k of each. Q is added with k = 1 or p0 = 0 too; the released code leaves
            it out there.
        proportions: p0 and p1, shares of the tokens that merge before and behind an attention.
        tome_r: tokens of a frame that merge in each block before the first joining one.
        frame_pos: whether there is a Q.
        prop_attn: whether a token counts in attention as the patches that it is made of.
        lora_dims: rank of B A; 0 for none.
        output: ``'clip'``, (B, D), or ``'frames'`` for retrieval, (B, T, E).
        recompute, with_cp: what the backward pass computes again, see `STAdapterViT`.

    Raises:
        ValueError: for a schedule that cannot be, or a trunk that cannot mix.
        TypeError: for a trunk without a class token.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        num_frames: int = 12,
        merge_layers: Sequence[int] = (8, 9, 10),
        merge_frames: Sequence[int] = (2, 2, 3),
        proportions: Sequence[float] = (0.3, 0.1),
        tome_r: int = 2,
        frame_pos: bool = True,
        prop_attn: bool = True,
        lora_dims: int = 8,
        output: str = 'clip',
        recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'TempMeViT')
        require_mix(self.trunk, 'TempMeViT')
        require_class_token(self.trunk, 'TempMeViT')
        self.output, self.prop_attn = check_output(output, self.trunk, 'TempMeViT'), prop_attn
        dims, blocks = self.trunk.embed_dims, self.trunk.blocks
        self.schedule = Schedule(merge_layers, merge_frames, proportions, tome_r, len(blocks))
        self.frame_step = self.schedule.frame_step  # which frames must be a multiple of
        self.merge = TokenMerge()
        self.low_rank = low_rank_maps(blocks, dims, lora_dims)
        clips = self.schedule.clips_before(num_frames).items()
        tables = {str(i): nn.Parameter(torch.zeros(count, dims)) for i, count in clips}
        self.clip_embed = nn.ParameterDict(tables if frame_pos else {})
        self.recompute = chosen_step(recompute, with_cp, 'TempMeViT')

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return out_width(self.trunk, self.output)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D) or (B, T, E), see ``output``; T a multiple of the clips."""
        x, size = self.trunk.embed(images_of(video)), None
        for i, step in enumerate(self.steps(video, x)):
            options = dict(i=i, step=step, classes_alone=self.trunk.num_queries(i) is not None)
            x, size = self.again('block', self.run_block, x, size, **options)
        return self.finish(x, step, video.shape[2])

    def steps(self, video: Tensor, x: Tensor) -> list[Step]:
        """What the blocks do to these clips (B, 3, T, H, W) and their tokens (B·T, L, D)."""
        return self.schedule.steps(video.shape[2], x.shape[1], self.trunk.num_prefix_tokens)

    def run_block(
        self, x: Tensor, size: Tensor | None, i: int, step: Step, classes_alone: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Block i. Tokens of all clips (M, L, D), sizes (M, L, 1) or None -> the same, of fewer."""
        if i in self.schedule.layers:
            x, size = self.join(x, size, i, step)
        queries = step.prefix if classes_alone else None
        x, keys = self.again('attention', self.attend, x, size, i=i, num_queries=queries)
        if not classes_alone:
            x, size = self.merge(x, size, keys, step.behind, step.prefix)
        return self.again('mlp', self.trunk.blocks[i].feed_forward, x), size

    def attend(
        self, x: Tensor, size: Tensor | None, i: int, num_queries: int | None
    ) -> tuple[Tensor, Tensor]:
        """The first Q tokens look at all, (M, L, D) -> (M, Q, D), and the mean keys (M, L, d)."""
        block, seams = self.trunk.blocks[i], Beside(self.low_rank[i] if self.low_rank else None)
        bias = size.log().to(x.dtype).mT[:, None] if size is not None and self.prop_attn else None
        x = block.attend(x, num_queries, pre=seams.pre, mix=seams.mix, bias=bias)
        keys = seams.keys.detach()
        return x, reduce(keys, 'm l (h d) -> m l d', 'mean', h=block.attn.num_heads)

    def join(
        self, x: Tensor, size: Tensor | None, i: int, step: Step
    ) -> tuple[Tensor, Tensor | None]:
        """Join k clips, with the clips' vectors, and merge across them. (M·k, L, D) -> (M, ..)."""
        together = partial(join_clips, num_clips=step.joined, prefix=step.prefix // step.joined)
        metric = together(x.detach())
        if str(i) in self.clip_embed:
            x = add_time(x, self.clip_embed[str(i)], step.clips * step.joined)
        size = None if size is None else together(size)
        return self.merge(together(x), size, metric, step.before, step.prefix)

    def finish(self, x: Tensor, last: Step, num_frames: int) -> Tensor:
        """The frames' class tokens as the backbone's output."""
        frames = num_frames // last.clips
        x = rearrange(x[:, : last.prefix], 'm (f p) d -> (m f) p d', f=frames)
        return join_frames(self.trunk, self.trunk.readout(x), num_frames, self.output)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """All tokens of every step: ``embed``, ``<i>`` and ``<i>.size`` per block, ``feature``."""
        x, size = self.trunk.embed(images_of(video)), None
        yield 'embed', x
        for i, step in enumerate(self.steps(video, x)):
            x, size = self.run_block(x, size, i, step)
            yield str(i), x
            yield f'{i}.size', torch.ones_like(x[..., :1]) if size is None else size
        yield 'feature', self.finish(x, step, video.shape[2])
