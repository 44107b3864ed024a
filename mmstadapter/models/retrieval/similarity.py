"""From the encoders' outputs to what is compared: one vector, or weighted tokens, an item."""

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .frame_transformer import FrameTransformer
from .losses import decorrelation

MASKS = ('released', 'corrected')


class Similarity(nn.Module):
    """A dual encoder's last step: captions and videos are encoded apart, then scored.

    `score` compares what `encode_text` and `encode_video` give. All of it is computed in
    float32, also under autocast, as in the released code.
    """

    reads = 'sentences'  # or 'words': which output of the text tower is read
    embed_dims: int | None = None  # the one width E it takes, None for any

    def __init__(self, header: FrameTransformer | None = None) -> None:
        super().__init__()
        self.header = header

    def encode_text(self, sentences: Tensor | None, words: Tensor | None, mask: Tensor) -> dict:
        """Features of A captions.

        Args:
            sentences: (A, E), may be None where words are read.
            words: (A, L, E), may be None where sentences are read.
            mask: (A, L) bool, true for a caption's own tokens.

        Returns:
            Features for `score`, first axis A.
        """
        raise TypeError(f'{type(self).__name__} must provide `encode_text`.')

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Features of B videos for `score`, from frames (B, T, E) and mask (B, T) or None."""
        raise TypeError(f'{type(self).__name__} must provide `encode_video`.')

    def decorrelation(
        self,
        words: Tensor,
        text_mask: Tensor,
        frames: Tensor,
        video_mask: Tensor | None = None,
    ) -> Tensor:
        """The decorrelation term of matching pairs, a scalar; token-wise similarity has one."""
        raise TypeError(
            f'{type(self).__name__} has no decorrelation term, it compares one vector a video. '
            'Set loss.decorrelation=0, or use TokenSimilarity.'
        )

    def start_from(self, text_tower: nn.Module) -> None:
        """Take initial values from the text tower, where ``init='text_tower'`` asks for it."""
        if self.header is not None and self.header.init == 'text_tower':
            self.header.start_from(text_tower)

    def _through_header(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        frames = frames.float()
        return frames if self.header is None else self.header(frames, mask)


@MODELS.register_module()
class MeanPoolSimilarity(Similarity):
    """Cosine of the sentence and the mean of the frames.

    CLIP4Clip (Luo et al., 2021), section 3.3, "parameter-free type".

    Args:
        normalise_frames: bring each frame to unit length before the mean, as CLIP4Clip
            does. Side4Video's mean pooling does not.
        header: a `FrameTransformer` before the mean; configs use `SequentialSimilarity`.
    """

    def __init__(
        self, normalise_frames: bool = True, header: FrameTransformer | None = None
    ) -> None:
        super().__init__(header)
        self.normalise_frames = normalise_frames

    def encode_text(self, sentences: Tensor | None, words: Tensor | None, mask: Tensor) -> dict:
        """(A, E) -> vector (A, E) of unit length."""
        return dict(vector=F.normalize(sentences.float(), dim=-1))

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """(B, T, E) -> vector (B, E) of unit length; masked frames do not count."""
        with torch.autocast(frames.device.type, enabled=False):
            frames = self._through_header(frames, mask)
            if self.normalise_frames:
                frames = F.normalize(frames, dim=-1)
            if mask is not None:
                frames = frames * mask.unsqueeze(-1)
            return dict(vector=F.normalize(frames.sum(dim=1), dim=-1))  # length is lost anyway


@MODELS.register_module()
class SequentialSimilarity(MeanPoolSimilarity):
    """Mean pooling behind a transformer over the frames.

    CLIP4Clip (Luo et al., 2021), section 3.3, "sequential type".

    Args:
        embed_dims: width E of the joint space.
        num_layers, num_heads, max_frames: of the `FrameTransformer`.
        init: of the `FrameTransformer`; CLIP4Clip copies the text tower.
        normalise_frames: see `MeanPoolSimilarity`.
    """

    def __init__(
        self,
        embed_dims: int = 512,
        num_layers: int = 4,
        num_heads: int | None = None,
        max_frames: int = 77,
        init: str = 'text_tower',
        normalise_frames: bool = True,
    ) -> None:
        header = FrameTransformer(embed_dims, num_layers, num_heads, max_frames, init)
        super().__init__(normalise_frames, header)
        self.embed_dims = embed_dims


@MODELS.register_module()
class TokenSimilarity(Similarity):
    """Weighted token-wise interaction: each word looks for its best frame, and the reverse.

    Side4Video's released ``wti_interaction`` (from Wang et al., "Disentangled Representation
    Learning for Text-Video Retrieval", 2022); the formula is in `score`. The weights of words
    and frames are a softmax over MLPs that see features of any length; cosines are taken of the
    same features at unit length. Start- and end-of-text take part like words.

    Args:
        embed_dims: width E of the joint space.
        mask: what a masked token does to a maximum. ``'released'``: its cosines are 0, so that
            padding wins where all words disagree with a frame. ``'corrected'``: it never wins.
        header: options of a `FrameTransformer` before the interaction, ``dict()`` for
            its defaults, or ``None``.
        init_std: standard deviation of the MLPs' initial weights, biases zero; 0.02 in
            the released CLIP models. ``None`` keeps PyTorch's own, as with EVA-CLIP.

    Raises:
        ValueError: for an unknown ``mask``.
    """

    reads = 'words'

    def __init__(
        self,
        embed_dims: int = 512,
        mask: str = 'released',
        header: dict | None = None,
        init_std: float | None = 0.02,
    ) -> None:
        if mask not in MASKS:
            raise ValueError(f'TokenSimilarity: mask must be one of {MASKS}, got {mask!r}.')
        super().__init__(None if header is None else FrameTransformer(embed_dims, **header))
        self.embed_dims, self.mask = embed_dims, mask
        self.text_weight = _weight_mlp(embed_dims, init_std)
        self.video_weight = _weight_mlp(embed_dims, init_std)

    def encode_text(self, sentences: Tensor | None, words: Tensor | None, mask: Tensor) -> dict:
        """(A, L, E) -> tokens (A, L, E) and weights (A, L), with mask='corrected' the mask."""
        with torch.autocast(words.device.type, enabled=False):
            return self._features(*_tokens(words, mask, self.text_weight), mask)

    def encode_video(self, frames: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """(B, T, E) -> tokens (B, T, E) and weights (B, T), with mask='corrected' the mask."""
        with torch.autocast(frames.device.type, enabled=False):
            mask = _all_true(frames) if mask is None else mask
            frames = self._through_header(frames, mask)
            return self._features(*_tokens(frames, mask, self.video_weight), mask)

    def _features(self, tokens: Tensor, weights: Tensor, mask: Tensor) -> dict[str, Tensor]:
        features = dict(tokens=tokens * mask.unsqueeze(-1), weights=weights)
        return features | dict(mask=mask.bool()) if self.mask == 'corrected' else features

    def decorrelation(
        self,
        words: Tensor,
        text_mask: Tensor,
        frames: Tensor,
        video_mask: Tensor | None = None,
    ) -> Tensor:
        """`decorrelation` of matching pairs, B captions and their B videos. Scalar."""
        with torch.autocast(words.device.type, enabled=False):
            video_mask = _all_true(frames) if video_mask is None else video_mask
            text = _tokens(words, text_mask, self.text_weight)
            video = _tokens(self._through_header(frames, video_mask), video_mask, self.video_weight)
            return decorrelation(*text, text_mask.bool(), *video, video_mask.bool())


def _weight_mlp(embed_dims: int, init_std: float | None) -> nn.Sequential:
    """Token (..., E) -> (..., 1), how much it counts before the softmax."""
    mlp = nn.Sequential(nn.Linear(embed_dims, embed_dims), nn.ReLU(), nn.Linear(embed_dims, 1))
    for layer in (mlp[0], mlp[2]) if init_std is not None else ():
        nn.init.normal_(layer.weight, std=init_std)
        nn.init.zeros_(layer.bias)
    return mlp


def _tokens(x: Tensor, mask: Tensor, weight: nn.Module) -> tuple[Tensor, Tensor]:
    """(n, L, E) and its mask -> tokens of unit length (n, L, E) and their weights (n, L)."""
    x = x.float()
    logits = weight(x).squeeze(-1).masked_fill(~mask.bool(), float('-inf'))
    return F.normalize(x, dim=-1), logits.softmax(dim=-1)


def _all_true(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
