"""Options of the side network: the choices of Table 9, checks, and initial values."""

from collections.abc import Sequence

import torch
from torch import nn

from ...trunks.base import Trunk
from ..st_adapter import select_blocks

CHOICES = dict(
    temporal=('conv', 'attention', 'none'),
    fusion=('mean', 'sum'),
    norm=('pre', 'post'),
    representation=('avg_pool', 'trunk_cls', 'side_cls'),
)


def select_layers(
    layers: str | Sequence[int], num_layers: int, who: str = 'Side4VideoViT'
) -> list[int]:
    """Indices of the trunk layers read; see `Side4VideoViT`.

    Raises:
        ValueError: for an unknown choice or more side blocks than trunk layers.
    """
    kind, _, number = layers.partition('_') if isinstance(layers, str) else ('', '', '')
    count = int(number) if number.isdigit() else 0
    if kind in ('interval', 'top') and count > num_layers:
        raise ValueError(
            f'{who}: {count} side blocks were asked for and the trunk has {num_layers} '
            'layers; there can be at most one a layer. Lower the number in `layers`.'
        )
    if layers == 'interval' and num_layers > 1:
        return list(range(1, num_layers, 2))
    if kind == 'interval' and count:
        return [(k + 1) * num_layers // count - 1 for k in range(count)]
    try:
        return select_blocks(f'last_{number}' if kind == 'top' else layers, num_layers)
    except ValueError:
        raise ValueError(
            f"{who}: layers must be 'all', 'interval', 'interval_<n>', 'top_<n>' or a list "
            f'of different indices from 0 to {num_layers - 1}, got {layers!r}.'
        ) from None


def check_choices(temporal: str, fusion: str, norm: str, representation: str) -> None:
    """Raise ValueError for a word that is not in `CHOICES`."""
    given = dict(temporal=temporal, fusion=fusion, norm=norm, representation=representation)
    for field, word in given.items():
        if word not in CHOICES[field]:
            raise ValueError(
                f'Side4VideoViT: {field} must be one of {", ".join(CHOICES[field])}, got {word!r}.'
            )


def check_sizes(
    trunk: Trunk,
    side_dims: int,
    head_dims: int,
    cls_shift: bool,
    representation: str,
    who: str = 'Side4VideoViT',
) -> None:
    """Raise ValueError for sizes that do not fit each other or the trunk."""
    if min(side_dims, head_dims) < 1 or side_dims % head_dims:
        raise ValueError(
            f'{who}: side_dims must be a multiple of head_dims = {head_dims}, got '
            f'{side_dims}. The paper has 192, 320, 512 and 576 with 64.'
        )
    if not trunk.has_class_token and (cls_shift or representation == 'trunk_cls'):
        raise ValueError(
            f'{who}: {type(trunk).__name__} has no class token to shift or read. Set '
            "cls_shift=False and representation to 'avg_pool' or 'side_cls'."
        )


@torch.no_grad()
def initialise(side: nn.Module, norm: str, output: str) -> None:
    """The released initial values, which differ by trunk and task.

    Everything not named keeps PyTorch's default. Recognition with a CLIP trunk: normal
    values for attention and MLP. Retrieval with a CLIP trunk: all linear maps N(0, 0.02)
    with zero bias. EVA trunks: PyTorch's defaults throughout.
    """
    dims = side.position_embedding.shape[1]
    nn.init.normal_(side.position_embedding, std=0.02 if norm == 'post' else 0.01)
    if norm == 'post':
        return
    for block in side.blocks:
        nn.init.normal_(block.attn.in_proj.weight, std=dims**-0.5)
        nn.init.zeros_(block.attn.in_proj.bias)
        nn.init.zeros_(block.attn.out_proj.bias)
        if output == 'frames':
            _initialise_retrieval(block, dims)
        else:  # the 24 is the released code's, whatever the number of layers
            nn.init.normal_(block.attn.out_proj.weight, std=(24 * dims) ** -0.5)
            nn.init.normal_(block.mlp.fc1.weight, std=(2 * dims) ** -0.5)
            nn.init.normal_(block.mlp.fc2.weight, std=(24 * dims) ** -0.5)


def _initialise_retrieval(block: nn.Module, dims: int) -> None:
    for linear in (block.down.linear, block.attn.out_proj, block.mlp.fc1, block.mlp.fc2):
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
    if block.temporal == 'conv':
        nn.init.normal_(block.conv.pw1.weight, std=0.02)
        nn.init.normal_(block.conv.pw2.weight, std=0.02)
        nn.init.normal_(block.conv.dw.weight, std=dims**-0.5)
