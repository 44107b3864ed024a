"""SigLIP's loss of matching pairs: each caption and video by itself, alike or not."""

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .losses import POSITIVES


@MODELS.register_module()
class SigmoidLoss(nn.Module):
    """The sigmoid loss of SigLIP (Zhai et al., ICCV 2023, section 3.2).

    With logits s[i, j] = exp(logit_scale) · similarity + logit_bias of caption i and video j, and
    z[i, j] = 1 where they match and -1 elsewhere,

        -1/n sum_i sum_j log sigmoid( z[i, j] s[i, j] )

    over all n² pairs of the batch, those of other processes included. Where captions of one
    video meet in a batch, ``positives`` says what they are to each other's videos: ``'own'``,
    negatives, as published; ``'skip'``, neither; ``'all'``, positives.

    Args:
        positives: one of the above.

    Raises:
        ValueError: for unknown ``positives``.
    """

    has_bias = True  # the retriever trains a logit_bias
    largest_scale = None  # of exp(logit_scale): SigLIP's go beyond CLIP's 100
    decorrelation = 0.0
    text_negatives = 0.0

    def __init__(self, positives: str = 'own') -> None:
        super().__init__()
        if positives not in POSITIVES:
            raise ValueError(
                f'SigmoidLoss: positives must be one of {POSITIVES}, got {positives!r}.'
            )
        self.positives = positives

    @property
    def needs_owners(self) -> bool:
        """Whether it must know which pairs are of one video."""
        return self.positives != 'own'

    def forward(
        self, logits: Tensor, owners: Tensor | None = None, texts: Tensor | None = None
    ) -> Tensor:
        """The loss in float32.

        Args:
            logits: (n, n), row i a caption, column i its video.
            owners: (n,) integers, equal where two pairs are of one video; needed unless
                ``positives='own'``.
            texts: not read.

        Returns:
            Scalar.

        Raises:
            ValueError: if the matrix is not square, or owners are needed and missing.
        """
        if logits.ndim != 2 or len(logits) != logits.shape[1]:
            raise ValueError(
                'SigmoidLoss: needs as many captions as videos, row i matching column i, got '
                f'logits of shape {tuple(logits.shape)}.'
            )
        if self.needs_owners and owners is None:
            raise ValueError(
                f'SigmoidLoss: needs owners with positives={self.positives!r}, got None.'
            )
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        together = own if owners is None else owners[:, None] == owners[None, :]
        match = together if self.positives == 'all' else own
        losses = -F.logsigmoid(torch.where(match, 1.0, -1.0) * logits.float())
        if self.positives == 'skip':
            losses = losses.masked_fill(together & ~own, 0.0)
        return losses.sum() / len(logits)
