"""Features without their padding, in groups of equally many tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

COLUMNS = 32  # sums and products treat so many columns alike; a rest of them may round otherwise


@dataclass
class Tile:
    """Items with equally many tokens, on the device.

    Args:
        items: (n,) which items.
        tokens: (n, L, E), or (L, n, E) with the items last.
        weights: (n, L) or (L, n).
        floored: whether the items have tokens of zeros besides, so no maximum is below 0.
    """

    items: Tensor
    tokens: Tensor
    weights: Tensor
    floored: bool


@dataclass
class Packed:
    """Features in groups of equally many valid tokens.

    Args:
        tokens: (n, L, E) as given.
        weights: (n, L) as given.
        order: (n, L), the positions of each item's valid tokens first.
        groups: items of a group (g,), how many valid tokens they have, and whether they have
            tokens of zeros besides.
    """

    tokens: Tensor
    weights: Tensor
    order: Tensor
    groups: list[tuple[Tensor, int, bool]]

    @property
    def lengths(self) -> tuple[int, int]:
        """Fewest and most valid tokens of an item."""
        lengths = [length for _, length, _ in self.groups] or [1]
        return min(lengths), max(lengths)

    def parts(self, tokens: int, multiple: int = 1) -> Iterator[tuple[Tensor, int, bool]]:
        """The groups in parts of at most so many tokens, at least one item.

        All parts of a group are of one size, the last one by repeating an item, and that size is
        a multiple of `multiple` if the tokens allow it: products of one shape without an edge
        round alike, so that equal captions, or equal videos, of a test set get equal scores.
        """
        for items, length, floored in self.groups:
            most = max(1, tokens // length)
            step = multiple if most >= multiple else 1
            size = -(-len(items) // -(-len(items) // most))
            size = min(-(-size // step), most // step) * step
            for part in items.split(size):
                repeated = part[-1:].expand(size - len(part))
                yield torch.cat([part, repeated]), length, floored

    def chunks(self, tokens: int, kept: int) -> Iterator[list[tuple[Tensor, int, bool]]]:
        """Lists of parts, as many as hold `kept` tokens together, at least one."""
        chunk: list[tuple[Tensor, int, bool]] = []
        held = 0
        for part in self.parts(tokens, COLUMNS):
            size = len(part[0]) * part[1]
            if chunk and held + size > kept:
                yield chunk
                chunk, held = [], 0
            chunk.append(part)
            held += size
        if chunk:
            yield chunk

    def tile(
        self, part: tuple[Tensor, int, bool], device: torch.device, items_last: bool = False
    ) -> Tile:
        """Copy the valid tokens of some items to the device as float32."""
        items, length, floored = part
        rows, places = items[:, None], self.order[items, :length]
        if items_last:
            rows, places = rows.T, places.T.contiguous()
        # Indexed where they lie: flattened first, features cut out of larger ones would be copied.
        tokens, weights = (f[rows, places].to(device).float() for f in (self.tokens, self.weights))
        return Tile(items, tokens, weights, floored)


def pack(features: Mapping[str, Tensor], name: str) -> Packed:
    """Group the items by the number of their valid tokens.

    Args:
        features: as `mmstadapter.score` takes them; a vector is one token.
        name: of an item, for errors.

    Raises:
        ValueError: if all tokens of an item are masked.
    """
    if 'vector' in features:
        tokens = features['vector'][:, None]
        weights = tokens.new_ones(tokens.shape[:2])
        group = (torch.arange(len(tokens), device=tokens.device), 1, False)
        order = torch.zeros(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        return Packed(tokens, weights, order, [group] if len(tokens) else [])
    tokens, weights, mask = features['tokens'], features['weights'], features.get('mask')
    zero = torch.linalg.vector_norm(tokens, float('inf'), dim=-1) == 0  # exact, without a copy
    seen = torch.ones_like(zero) if mask is None else mask.to(zero.device)
    if not seen.any(dim=1).all():
        item = int((~seen.any(dim=1)).nonzero()[0])
        raise ValueError(f'similarity_matrix: all tokens of {name} {item} are masked.')
    valid, floored = seen & ~zero, (seen & zero).any(dim=1)
    valid[:, 0] |= ~valid.any(dim=1)  # tokens of zeros only: one of them stays
    order = (~valid).int().argsort(dim=1, stable=True)
    kinds, kind = torch.stack([valid.sum(dim=1), floored.long()], 1).unique(
        dim=0, return_inverse=True
    )
    groups = [
        ((kind == i).nonzero()[:, 0], int(length), bool(floor))
        for i, (length, floor) in enumerate(kinds.tolist())
    ]
    return Packed(tokens, weights, order, groups)
