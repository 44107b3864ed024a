"""Cards and what their makers say of them, for times that no step can go below."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A GPU by its data sheet.

    Attributes:
        name: what it is called.
        memory: GB (1e9 bytes), as it is sold.
        half: TFLOP/s of 16-bit matrix products that add up in float32, without sparsity.
        single: TFLOP/s in float32, without TF32.
        bandwidth: TB/s of its memory.
    """

    name: str
    memory: float
    half: float
    single: float
    bandwidth: float

    def seconds(self, operations: int, nbytes: int, half: bool) -> float:
        """The least time of an operator: the longer of computing it and of moving its bytes."""
        rate = self.half if half else self.single
        return max(operations / rate, nbytes / self.bandwidth) / 1e12


CARDS = {
    't4': Card('T4', 16, 65, 8.1, 0.32),
    'v100': Card('V100 SXM2 32 GB', 32, 125, 15.7, 0.9),
    'a10': Card('A10', 24, 125, 31.2, 0.6),
    'l4': Card('L4', 24, 121, 30.3, 0.3),
    '3090': Card('GeForce RTX 3090', 24, 71, 35.6, 0.936),
    '4090': Card('GeForce RTX 4090', 24, 165, 82.6, 1.008),
    '5090': Card('GeForce RTX 5090', 32, 209, 104.8, 1.792),
    'a6000': Card('RTX A6000', 48, 155, 38.7, 0.768),
    'l40s': Card('L40S', 48, 362, 91.6, 0.864),
    'a100-40': Card('A100 SXM 40 GB', 40, 312, 19.5, 1.555),
    'a100': Card('A100 SXM 80 GB', 80, 312, 19.5, 2.039),
    'h100': Card('H100 SXM', 80, 989, 67, 3.35),
    'h200': Card('H200 SXM', 141, 989, 67, 4.8),
    'b200': Card('B200', 180, 2250, 75, 7.7),
    'mi300x': Card('MI300X', 192, 1307, 163.4, 5.3),
}
DEFAULT = 'h100'


def find_card(name: str) -> Card:
    """A card by its short name.

    Raises:
        ValueError: with the known names, if there is none of this name.
    """
    key = name.lower().replace(' ', '-')
    if key not in CARDS:
        raise ValueError(f'mmstadapter plan: unknown card {name!r}. Known: {", ".join(CARDS)}.')
    return CARDS[key]
