"""The blocks of timm's vision transformers behind the trunk's verbs."""

import torch
from torch import Tensor, nn

from .block import Change, through
from .wrapped import Attend, WrappedBlock, call


class TimmBlock(WrappedBlock):
    """timm's pre-norm ``Block`` and ``EvaBlock``, layer scale and drop path included.

    Args:
        block: the block.
        vit: the model it is of, which has the rotary positions.
        index: which of its blocks.
    """

    def __init__(self, block: nn.Module, vit: nn.Module, index: int) -> None:
        super().__init__(block)
        self.vit, self.index = vit, index

    def attention_branch(self, x: Tensor, pre: Change | None, attention: Attend) -> Tensor:
        """(M, L, D) -> (M, L, D), what the block's attention adds to x."""
        block = self.block
        x = attention(through(pre, self.attention_input(x)), **self.rotary())
        return block.drop_path1(self.scale(x, 1))

    def attention_input(self, x: Tensor) -> Tensor:
        """The tokens after the first norm. (M, L, D) -> same."""
        return call(self.block.norm1, x)

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """The MLP and what goes beside it, added to x: (M, L, D) -> same; see `Block`."""
        block, y = self.block, call(self.block.norm2, x)
        branch = self.scale(call(block.mlp, through(pre, y)), 2)
        x = x + through(post, block.drop_path2(branch))
        return x if beside is None else x + beside(y)

    def scale(self, x: Tensor, branch: int) -> Tensor:
        """Layer scale of branch 1 (attention) or 2 (MLP), where the block has one."""
        gamma = getattr(self.block, f'gamma_{branch}', None)
        if gamma is not None:
            return gamma * x
        module = getattr(self.block, f'ls{branch}', None)
        return x if module is None else call(module, x)

    def rotary(self) -> dict[str, Tensor]:
        """The argument ``rope`` of the block's attention: the grid's angles, if it has any."""
        rope = getattr(self.vit, 'rope', None)
        if rope is None:
            return {}
        kept = not self.vit.dynamic_img_size and hasattr(rope, 'feat_shape')
        angles = rope.get_embed() if kept else rope.get_embed(shape=self.vit.patch_embed.grid_size)
        return {'rope': angles[self.index] if self.vit.rope_mixed else angles}


class TimmPostNormBlock(TimmBlock):
    """timm's ``ResPostBlock`` and ``EvaBlockPostNorm``: each branch ends with its norm."""

    def attention_branch(self, x: Tensor, pre: Change | None, attention: Attend) -> Tensor:
        """(M, L, D) -> (M, L, D), what the block's attention adds to x."""
        block = self.block
        x = attention(through(pre, x), **self.rotary())
        return block.drop_path1(call(block.norm1, x))

    def attention_input(self, x: Tensor) -> Tensor:
        """The tokens as they are: the norm comes after the attention."""
        return x

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """The MLP and what goes beside it, added to x: (M, L, D) -> same; see `Block`."""
        block = self.block
        branch = block.drop_path2(call(block.norm2, call(block.mlp, through(pre, x))))
        y = x + through(post, branch)
        return y if beside is None else y + beside(x)


class TimmParallelBlock(TimmBlock):
    """timm's ``ParallelThingsBlock``: several attentions side by side, then several MLPs."""

    def attention_branch(self, x: Tensor, pre: Change | None, attention: Attend) -> Tensor:
        """(M, L, D) -> (M, L, D), what the block's attentions add to x."""
        self.refuse(pre=pre)  # and has no attention that could take anything's place
        return torch.stack([call(branch, x) for branch in self.block.attns]).sum(dim=0)

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """The sum of the parallel MLPs, added to x: (M, L, D) -> same; see `Block`."""
        self.refuse(pre=pre, beside=beside)
        branch = torch.stack([call(branch, x) for branch in self.block.ffns]).sum(dim=0)
        return x + through(post, branch)

    @staticmethod
    def refuse(**seams: Change | None) -> None:
        """Raise for seams that lie behind a norm of which this block has several."""
        for name in (name for name, change in seams.items() if change is not None):
            raise TypeError(
                f'TimmParallelBlock: no place for {name}: each of the parallel branches has a '
                'norm of its own. Take a trunk with one attention and one MLP a block.'
            )


# By the name of timm's class, so that this file needs no timm.
WRAPPERS: dict[str, type[TimmBlock]] = {
    'Block': TimmBlock,
    'EvaBlock': TimmBlock,
    'ResPostBlock': TimmPostNormBlock,
    'EvaBlockPostNorm': TimmPostNormBlock,
    'ParallelThingsBlock': TimmParallelBlock,
}
