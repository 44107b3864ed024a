"""What a model computes again in the backward pass instead of keeping it, chosen by one word."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .ops.linear import Linear

# Each step computes again what the steps before it do, and more.
STEPS = ('nothing', 'elementwise', 'mlp', 'attention', 'block')
DEFAULT = 'elementwise'


def chosen_step(recompute: str | None, with_cp: bool | None, who: str) -> str:
    """The step that two fields say, of which the second is MMAction2's word for 'block'.

    Raises:
        ValueError: for an unknown word, or if they say different things.
    """
    if recompute is None:
        return 'block' if with_cp else DEFAULT
    if recompute not in STEPS:
        raise ValueError(f'{who}: recompute must be one of {", ".join(STEPS)}, got {recompute!r}.')
    if with_cp is not None and bool(with_cp) != (recompute == 'block'):
        raise ValueError(
            f'{who}: recompute={recompute!r} and with_cp={with_cp} say different things. Leave '
            "with_cp out: with_cp=True is another word for recompute='block'."
        )
    return recompute


def tell_compiler(modules: Iterable[nn.Module]) -> None:
    """Let the compiler make again what these modules, compiled from now on, do not keep.

    By itself it keeps every input of a product in the backward pass, however cheap, and the
    result of every operator that it has not on a list of cheap ones. Where a module's
    ``recompute`` says more than ``'nothing'`` it may make them again, products excepted. That is a
    setting of the process.
    """
    from torch._functorch import config  # here, since it imports the compiler

    keeps = all(getattr(module, 'recompute', 'nothing') == 'nothing' for module in modules)
    config.ban_recompute_materialized_backward = config.ban_recompute_not_in_allowlist = keeps


class Recomputing(nn.Module):
    """A module that takes the field ``recompute``; comes first among a backbone's bases.

    Results are the same at every step. Set it when all parts are there: it reaches those within.
    """

    _step = DEFAULT

    @property
    def recompute(self) -> str:
        """One of `STEPS`."""
        return self._step

    @recompute.setter
    def recompute(self, step: str) -> None:
        self._step = chosen_step(step, None, type(self).__name__)
        for module in self.modules():
            if isinstance(module, Recomputing):
                module._step = step
            elif isinstance(module, Linear):
                module.makes_input_again = step != 'nothing'

    @property
    def with_cp(self) -> bool:
        """Whether whole blocks are computed again, in MMAction2's word."""
        return self._step == 'block'

    @with_cp.setter
    def with_cp(self, with_cp: bool) -> None:
        self.recompute = chosen_step(None, with_cp, type(self).__name__)

    def computes_again(self, part: str) -> bool:
        """Whether a part, 'mlp', 'attention' or 'block', is a unit of what is computed again."""
        if not torch.is_grad_enabled():
            return False
        return part == self._step or (part, self._step) == ('mlp', 'attention')

    def again(
        self, part: str, run: Callable[..., Any], *given: Any, of: Any = None, **options: Any
    ) -> Any:
        """``run(*given, **options)``; keeps no more of it than ``given`` where the step says so.

        Args:
            part: what it is, see `computes_again`.
            run: gives the same, and leaves no trace, whenever it is called. Batch norms do the
                second where ``of`` says whose they are.
            given: its tensors.
            of: makes the contexts of the two computations, ``context_fn`` of PyTorch's
                checkpoints. None: none.
            options: its other arguments.
        """
        if not self.computes_again(part):
            return run(*given, **options)
        contexts = {} if of is None or torch.compiler.is_compiling() else dict(context_fn=of)
        return checkpoint(partial(run, **options), *given, use_reentrant=False, **contexts)

    def trunk_block(self, block: Any, x: Tensor, num_queries: int | None = None) -> Tensor:
        """A trunk's block without seams. (M, L, D) -> (M, Q, D), Q = num_queries or L."""
        options = {} if num_queries is None else dict(num_queries=num_queries)
        if not self.computes_again('mlp'):
            return self.again('block', block, x, **options)
        x = self.again('attention', block.attend, x, **options)
        return self.again('mlp', block.feed_forward, x)
