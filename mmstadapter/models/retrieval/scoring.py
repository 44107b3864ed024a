"""How alike captions and videos are, from their features alone."""

from collections.abc import Mapping

import torch
from torch import Tensor

KINDS = ({'vector'}, {'tokens', 'weights'}, {'tokens', 'weights', 'mask'})


def score(text: Mapping[str, Tensor], video: Mapping[str, Tensor]) -> Tensor:
    """Similarity of every caption with every video, A captions times B videos.

    Features come from a similarity's ``encode_text`` and ``encode_video``; the first axis of
    every tensor counts items, so concatenating features concatenates items. There are two kinds:

    * ``vector`` (n, E), of unit length. The similarity is the cosine.
    * ``tokens`` (n, L, E), of unit length, and ``weights`` (n, L) that sum to one. The similarity
      is Side4Video's weighted token-wise interaction (released code, ``wti_interaction``):
      with the cosines S[a, b, t, v],

          ( sum_t weights[a, t] max_v S  +  sum_v weights[b, v] max_t S ) / 2

      A token of zeros has cosine 0 with everything, as masked tokens do in the released code.
      With a ``mask`` (n, L) the tokens where it is false win no maximum.

    Computed in float32, also under autocast. Needs A·Lt·B·Lv floats for tokens.

    Returns:
        (A, B), from -1 to 1.

    Raises:
        ValueError: if the two sides are of different kinds or widths, or of an unknown kind.
    """
    _check(text, video)
    with torch.autocast(_any(text).device.type, enabled=False):
        if 'vector' in text:
            return text['vector'].float() @ video['vector'].float().T
        return _token_wise(text, video)


def _token_wise(text: Mapping[str, Tensor], video: Mapping[str, Tensor]) -> Tensor:
    """Both halves of the token-wise interaction, (A, B)."""
    words, frames = text['tokens'].float(), video['tokens'].float()
    # one product for all pairs, laid out (A, Lt, B, Lv) so that nothing is moved
    cosines = torch.tensordot(words, frames, dims=([2], [2]))
    best_frame = _without(cosines, video.get('mask'), (1, 1, *frames.shape[:2])).max(dim=3).values
    best_word = _without(cosines, text.get('mask'), (*words.shape[:2], 1, 1)).max(dim=1).values
    text_to_video = torch.einsum('at,atb->ab', text['weights'].float(), best_frame)
    video_to_text = torch.einsum('bv,abv->ab', video['weights'].float(), best_word)
    return (text_to_video + video_to_text) / 2


def _without(cosines: Tensor, mask: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """The cosines with -2, below every cosine, where the mask is false."""
    return cosines if mask is None else cosines.masked_fill(~mask.view(shape), -2.0)


def _any(features: Mapping[str, Tensor]) -> Tensor:
    return features['vector' if 'vector' in features else 'tokens']


def _check(text: Mapping[str, Tensor], video: Mapping[str, Tensor]) -> None:
    """Raise unless both sides were made by the same kind of similarity."""
    for side, features in (('text', text), ('video', video)):
        if set(features) not in KINDS:
            raise ValueError(
                f"score: {side} features must hold 'vector', or 'tokens' and 'weights' and "
                f"perhaps 'mask', got {sorted(features)}. Make them by encode_text and "
                'encode_video of a similarity.'
            )
        if not _is_whole(features):
            raise ValueError(
                f'score: {side} features must be vector (n, E), or tokens (n, L, E), weights '
                f'(n, L) and a bool mask (n, L), L and E from 1, got {_shapes(features)}.'
            )
    if ('vector' in text) != ('vector' in video) or _any(text).shape[-1] != _any(video).shape[-1]:
        raise ValueError(
            'score: text and video features must be of one kind and width, got '
            f'{_shapes(text)} and {_shapes(video)}. Encode both by the same model.'
        )


def _is_whole(features: Mapping[str, Tensor]) -> bool:
    """Whether shapes and the type of the mask are those of a kind."""
    values = _any(features)
    if values.ndim != (2 if 'vector' in features else 3) or 0 in values.shape[1:]:
        return False
    beside = [v for name, v in features.items() if name in ('weights', 'mask')]
    bool_mask = 'mask' not in features or features['mask'].dtype == torch.bool
    return bool_mask and all(v.shape == values.shape[:2] for v in beside)


def _shapes(features: Mapping[str, Tensor]) -> str:
    """Names, shapes and types in a line."""
    return ', '.join(
        f'{k} {tuple(v.shape)} {str(v.dtype).removeprefix("torch.")}' for k, v in features.items()
    )
