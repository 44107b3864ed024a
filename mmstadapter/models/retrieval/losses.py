"""Losses of matching pairs in a batch: contrast with the others, and decorrelation."""

import math

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

POSITIVES = ('own', 'skip', 'all')
NOWHERE = -1e9  # a logit of probability zero whose product with zero is zero
STRENGTH = 0.11  # of the decorrelation term, inside its weight (released code)
NO_SPREAD = 1e-10  # variance of a channel of unit vectors that is constant up to rounding


@MODELS.register_module()
class ContrastiveLoss(nn.Module):
    """Symmetric cross entropy of a similarity matrix whose diagonal matches.

    With logits s[i, j] = exp(logit_scale) · similarity of caption i and video j, the mean over
    rows of l[i], averaged over captions -> videos (s) and videos -> captions (s transposed).
    Where captions of one video meet in a batch, with P(i) the pairs of i's video, i included:

    * ``'own'`` (released): l[i] = -log( exp s[i, i] / sum_j exp s[i, j] ); the others of
      P(i) are negatives.
    * ``'skip'``: the same with the sum over j = i and j not in P(i); they are neither.
    * ``'all'``: l[i] = -sum over j in P(i) of 1/|P(i)| log( exp s[i, j] / sum_k exp s[i, k] );
      they are positives that share the label's weight.

    All three are the same where no video occurs twice.

    With ``text_negatives`` w > 0 the sums of captions -> videos also hold w exp t[i, k] over the
    other captions k of the batch, with ``'skip'`` and ``'all'`` those of other videos, t being
    captions against captions: the part of CrossCLR
    (Zolfaghari et al., ICCV 2021) that adds negatives of the same modality, for captions. It keeps
    captions apart that differ in a word whose meaning the videos' features do not show yet.
    Without it captions of opposite motions fall together before motion is learnt, and then give
    the video side nothing to learn it from.

    Args:
        positives: one of the above.
        text_negatives: w; 0 in all released recipes.
        decorrelation: weight of the `decorrelation` term, which only token-wise
            similarity has; 0.001 in the released code's ``--cdcr``, which no released script
            sets.

    Raises:
        ValueError: for unknown ``positives``, or a weight that is not a number from 0 up.
    """

    def __init__(
        self, positives: str = 'own', decorrelation: float = 0.0, text_negatives: float = 0.0
    ) -> None:
        super().__init__()
        if positives not in POSITIVES:
            raise ValueError(
                f'ContrastiveLoss: positives must be one of {POSITIVES}, got {positives!r}.'
            )
        for name, weight in dict(
            decorrelation=decorrelation, text_negatives=text_negatives
        ).items():
            if not 0 <= weight < math.inf:
                raise ValueError(
                    f'ContrastiveLoss: {name} must be a number, 0 or more, got {weight}.'
                )
        self.positives, self.decorrelation = positives, decorrelation
        self.text_negatives = text_negatives

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
            texts: (n, n), captions against captions on the scale of the logits, -inf where two
                are not negatives of each other; needed for ``text_negatives``.

        Returns:
            Scalar.

        Raises:
            ValueError: if the matrix is not square, or owners or texts are needed and missing.
        """
        if logits.ndim != 2 or len(logits) != logits.shape[1]:
            raise ValueError(
                'ContrastiveLoss: needs as many captions as videos, row i matching column i, got '
                f'logits of shape {tuple(logits.shape)}.'
            )
        for name, needed, given in (
            ('owners', self.needs_owners, owners),
            ('texts', self.text_negatives, texts),
        ):
            if needed and given is None:
                raise ValueError(
                    f'ContrastiveLoss: needs {name} with positives={self.positives!r} and '
                    f'text_negatives={self.text_negatives}, got None.'
                )
        logits = logits.float()
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        together = own if not self.needs_owners else owners[:, None] == owners[None, :]
        others = logits.new_empty(len(logits), 0)  # negatives of captions besides videos
        if self.text_negatives:
            others = (texts.float() + math.log(self.text_negatives)).clamp(min=NOWHERE)
        by_text = self._rows(logits, own, together, others)
        return (by_text + self._rows(logits.T, own, together, others[:, :0])) / 2

    def _rows(self, logits: Tensor, own: Tensor, together: Tensor, others: Tensor) -> Tensor:
        """Mean of l[i] over the rows."""
        if self.positives == 'all':
            labels = together / together.sum(dim=1, keepdim=True)
            labels = torch.cat([labels, torch.zeros_like(others)], dim=1)
            return F.cross_entropy(torch.cat([logits, others], dim=1), labels)
        logits = logits.masked_fill(together & ~own, float('-inf'))
        right = torch.arange(len(logits), device=logits.device)
        return F.cross_entropy(torch.cat([logits, others], dim=1), right)


def decorrelation(
    words: Tensor,
    text_weights: Tensor,
    text_mask: Tensor,
    frames: Tensor,
    video_weights: Tensor,
    video_mask: Tensor,
) -> Tensor:
    """How far the channels of words and their best frames are from correlation one.

    The released code's ``cdcr``, for B matching pairs. Each valid word is paired with the frame
    of its video that it is most alike to, and each valid frame with the word of its caption,
    cosines of masked tokens being 0 as in `score` (so that the word may be padding). The four
    sets of rows are standardised channel by channel (z) over the batch. With

        c[d] = ( sum_i w_i z(word_i)[d] z(its frame)[d]
                 + sum_j w_j z(frame_j)[d] z(its word)[d] ) / (2 B)

    the term is 0.11 sum_d (c[d] - 1)^2; the released code gives other entries of the
    cross-correlation no weight.

    Args:
        words, frames: (B, Lt, E) and (B, Lv, E), of unit length, masked ones included.
        text_weights, video_weights: (B, Lt) and (B, Lv), rows sum to one.
        text_mask, video_mask: the same shapes, bool.

    Returns:
        Scalar, before the loss's weight.
    """
    cosines = torch.einsum('bte,bve->btv', words, frames)
    cosines = cosines * text_mask[:, :, None] * video_mask[:, None, :]
    item = torch.arange(len(words), device=words.device)[:, None]
    best_frames = frames[item, cosines.max(dim=2).indices]
    best_words = words[item, cosines.max(dim=1).indices]
    by_word = _correlation(words, best_frames, text_weights, text_mask)
    by_frame = _correlation(frames, best_words, video_weights, video_mask)
    correlation = (by_word + by_frame) / (2 * len(words))
    return STRENGTH * (correlation - 1).square().sum()


def _correlation(x: Tensor, y: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Weighted sums of the products of standardised valid rows of x and y, (E,)."""
    x, y = (_standardise(t[mask]) for t in (x, y))
    return (weights[mask].unsqueeze(1) * x * y).sum(dim=0)


def _standardise(rows: Tensor) -> Tensor:
    """(n, E) -> the same with mean 0 and unbiased deviation 1; 0 in channels without spread.

    The released code divides 0 by 0 there: when all frames of a batch choose one word.
    """
    centred = rows - rows.mean(dim=0)
    variance = centred.square().sum(dim=0) / max(len(rows) - 1, 1)
    return centred / variance.clamp(min=NO_SPREAD).sqrt()
