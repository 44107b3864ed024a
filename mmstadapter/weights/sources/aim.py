"""Official AIM, with CLIP's trunk and with that of an ImageNet transformer."""

from dataclasses import dataclass

from torch import Tensor

from ..clip_names import BLOCK, TRUNK_NAMES, both, renamed, same
from ..tables import Rule, Source

THEIRS = 'backbone.'
ADAPTERS = {
    'time_in.{}': 'T_Adapter_in',
    'time_out.{}': 'T_Adapter',
    'space_out.{}': 'S_Adapter',
    'beside_mlp.{}': 'MLP_Adapter',
}
IMAGENET_BLOCK = 'blocks.{}.'
IMAGENET_NAMES = (
    'cls_token',
    'pos_embed',
    *both('patch_embed.proj'),
    *both(*(IMAGENET_BLOCK + part for part in ('norm1', 'attn.qkv', 'attn.proj'))),
    *both(*(IMAGENET_BLOCK + part for part in ('norm2', 'mlp.fc1', 'mlp.fc2'))),
)


@dataclass(frozen=True)
class TimeRule(Rule):
    """A table of time positions (T, D), which is (1, T, D) elsewhere."""

    def join(self, parts: list[Tensor]) -> Tensor:
        """(1, T, D) -> (T, D)."""
        (table,) = parts
        if table.ndim != 3 or len(table) != 1:
            raise ValueError(
                f'{self.theirs[0]}: time positions must be (1, frames, width), got '
                f'{tuple(table.shape)}. The file is damaged, or of another model.'
            )
        return table[0]

    def split(self, whole: Tensor) -> list[Tensor]:
        """(T, D) -> (1, T, D)."""
        return [whole[None]]


def recogniser(name: str, trunk: tuple[Rule, ...], block: str, adapters: dict[str, str]) -> Source:
    """A model in MMAction2's form, whose backbone is a trunk with adapters in its blocks.

    Args:
        name: of the source.
        trunk: the trunk's rules.
        block: what a block's names begin with, ``{}`` for its number.
        adapters: our names of a block's adapters, and theirs.
    """
    layers = {
        f'{ours}.{layer}': f'{theirs}.D_{layer}'
        for ours, theirs in adapters.items()
        for layer in ('fc1', 'fc2')
    }
    return Source(
        name,
        'model',
        (
            *trunk,
            TimeRule('backbone.time_embed', (THEIRS + 'temporal_embedding',)),
            *renamed(layers, 'backbone.', THEIRS + block),
            *same(both('cls_head.fc_cls')),
        ),
        ignored_ours=('backbone.trunk.fingerprint',),
    )


VIT = 'backbone.trunk.vit.'  # a `TimmViT`
SOURCES = (
    recogniser('aim', same(TRUNK_NAMES, 'backbone.trunk.', THEIRS), BLOCK, ADAPTERS),
    recogniser(
        'aim-imagenet',
        (*same(IMAGENET_NAMES, VIT, THEIRS), *renamed({'norm': 'ln_post'}, VIT, THEIRS)),
        IMAGENET_BLOCK,
        ADAPTERS,
    ),
)
