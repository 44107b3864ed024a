"""What every trunk can do: turn frames into tokens, block by block, and say what it trains."""

from collections.abc import Iterator
from logging import WARNING
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from ..pretrained import Pretrained
from .block import Change

TUNE = ('none', 'bias', 'norm', 'last_<n>', 'all', 'after_blocks')
OLD_TUNE = dict(last_0='after_blocks')  # words of configs that were written earlier


class NoProjection(TypeError, AttributeError):
    """A trunk of the wrong kind, and to `hasattr` one without the attribute."""


class Trunk(Pretrained):
    """A pretrained image encoder: frames in, tokens out, frozen unless told otherwise.

    A subclass builds its modules, provides the verbs ``embed``, ``blocks`` and
    ``final_norm``, reads its pretrained file in `read_pretrained`, and calls
    `freeze` at the end of its constructor.

    Args:
        checkpoint: path or known name of the pretrained file. It is read when the
            runner initialises weights or when a tuned-only checkpoint is loaded,
            never in the constructor.
        tune: which pretrained parameters are trained: ``'none'``, ``'bias'``
            (all biases), ``'norm'`` (normalisation layers), ``'last_<n>'`` (the last n
            blocks and what follows them), ``'all'``, or ``'after_blocks'`` (what follows
            the blocks alone: final norm and projection).
        dtype: storage type of the frozen parameters, e.g. ``'float16'``; tuned
            ones stay float32. ``None`` stores float32.
        lora: trains low-rank maps beside the linear maps of the blocks; see `Pretrained`.
        quantize: stores the frozen linear maps in 8 or 4 bits; see `Pretrained`.
    """

    role = 'trunk'
    setting = 'model.backbone.trunk'
    takes_clips = False  # whether `embed` takes clips (B, 3, T, H, W) in place of frames
    embed_dims: int
    num_prefix_tokens: int  # tokens before the patches: class token, registers
    readout_tokens: int | None = 1  # leading tokens that `readout` needs; None: all
    grid: tuple[int, int]
    patch_size: int  # pixels
    norm_types: tuple[type[nn.Module], ...] = (
        nn.LayerNorm,
        nn.RMSNorm,
        nn.modules.batchnorm._BatchNorm,
    )

    def __init__(
        self,
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        lora: dict | None = None,
        quantize: str | None = None,
    ) -> None:
        super().__init__(checkpoint, _current_word(tune), dtype, lora, quantize)

    # ------------------------------------------------------------------ verbs

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, in order; each offers ``attend``, ``feed_forward`` and a call."""
        raise TypeError(f'{type(self).__name__} must provide `blocks`.')

    def embed(self, frames: Tensor, pre: Change | None = None) -> Tensor:
        """norm(pre(tokens + positions)). (M, 3, H, W) -> (M, num_prefix_tokens + h*w, D).

        A trunk without a norm there gives pre(tokens + positions).
        """
        raise TypeError(f'{type(self).__name__} must provide `embed`.')

    def readout(self, x: Tensor) -> Tensor:
        """The image's feature before the final norm: the class token. (M, L, D) -> (M, D)."""
        return x[:, 0]

    def num_queries(self, i: int) -> int | None:
        """How many of the first tokens block i must compute; ``None``: all.

        Behind the last block nothing but `readout` reads the tokens, so the class token's
        query is enough there, where `readout` takes no more.
        """
        return self.readout_tokens if i == len(self.blocks) - 1 else None

    @property
    def has_class_token(self) -> bool:
        """Whether token 0 is a class token."""
        return True

    def final_norm(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), the normalisation after the last block."""
        raise TypeError(f'{type(self).__name__} must provide `final_norm`.')

    def norm_tokens(self, x: Tensor) -> Tensor:
        """Every token behind the last block, under the norm that follows. (M, L, D) -> same."""
        return self.final_norm(x)

    @property
    def joint_dims(self) -> int:
        """E, the width of the joint image-text space."""
        raise self._without_projection()

    def project(self, x: Tensor) -> Tensor:
        """Normalised features (..., D) -> (..., E), into the joint image-text space."""
        raise self._without_projection()

    def __getattr__(self, name: str) -> Any:
        """Where a property has raised AttributeError, torch's modules lose what it said."""
        if name == 'joint_dims':
            raise self._without_projection()
        return super().__getattr__(name)

    def _without_projection(self) -> NoProjection:
        return NoProjection(
            f'{type(self).__name__} has no projection into a joint image-text space. Retrieval '
            'needs the image encoder of a CLIP model, built with with_proj=True.'
        )

    def forward(self, frames: Tensor) -> Tensor:
        """(M, 3, H, W) -> (M, num_prefix_tokens + h*w, D), all layers."""
        x = self.embed(frames)
        for block in self.blocks:
            x = block(x)
        return x

    # --------------------------------------------------------------- freezing

    def chosen_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that ``tune`` trains."""
        kind, _, number = self.tune.partition('_')
        if self.tune == 'all':
            yield from self.parameters()
        elif self.tune == 'bias':
            yield from (p for n, p in self.named_parameters() if n.endswith('bias'))
        elif self.tune == 'norm':
            norms = self.norm_types
            yield from (p for m in self.modules() if isinstance(m, norms) for p in m.parameters())
        elif self.tune == 'after_blocks':
            yield from self.parameters_after_blocks()
        elif kind == 'last' and number.isdigit() and 0 < int(number) <= len(self.blocks):
            for block in self.blocks[len(self.blocks) - int(number) :]:
                yield from block.parameters()
            yield from self.parameters_after_blocks()
        elif self.tune != 'none':
            raise ValueError(
                f'{type(self).__name__}: tune must be one of {", ".join(TUNE)} with n from 1 to '
                f'{len(self.blocks)}, got {self.tune!r}.'
            )

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """Parameters that follow the last block; see ``tune``."""
        yield from ()

    @property
    def trains_layers(self) -> bool:
        """Whether anything up to the last block is tuned, so that gradients must reach it."""
        after = {id(p) for p in self.parameters_after_blocks()}
        return any(p.requires_grad and id(p) not in after for p in self.parameters())


def _current_word(tune: str) -> str:
    """A choice of ``tune``, with a note where its word has been replaced."""
    if tune not in OLD_TUNE:
        return tune
    print_log(f'trunk: tune={tune!r} is now called {OLD_TUNE[tune]!r}.', 'current', WARNING)
    return OLD_TUNE[tune]
