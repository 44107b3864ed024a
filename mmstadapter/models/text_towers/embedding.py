"""The table of a text tower's words."""

from torch import nn


class Embedding(nn.Embedding):
    """``nn.Embedding`` that draws no values for a table without memory, as the file gives them.

    PyTorch imports its compiler to draw normal numbers on the meta device, 1.5 s of every search.
    """

    def reset_parameters(self) -> None:
        """Values as of ``nn.Embedding``, where there is memory for them."""
        if not self.weight.is_meta:
            super().reset_parameters()
