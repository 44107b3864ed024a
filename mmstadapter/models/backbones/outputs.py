"""What a backbone returns: a vector a clip, or a joint image-text vector a frame."""

from einops import rearrange
from torch import Tensor

from ..trunks.base import Trunk

OUTPUTS = ('clip', 'frames')


def check_output(output: str, trunk: Trunk, who: str) -> str:
    """Return ``output`` if it is one of `OUTPUTS` and the trunk can supply it.

    Raises:
        ValueError: for another word.
        TypeError: for ``'frames'`` with a trunk that has no projection.
    """
    if output not in OUTPUTS:
        raise ValueError(f'{who}: output must be one of {", ".join(OUTPUTS)}, got {output!r}.')
    if output == 'frames':
        trunk.joint_dims  # noqa: B018, raises where there is no projection
    return output


def out_width(trunk: Trunk, output: str) -> int:
    """Width of what `join_frames` returns: D for ``'clip'``, E for ``'frames'``."""
    return trunk.joint_dims if output == 'frames' else trunk.embed_dims


def join_frames(trunk: Trunk, x: Tensor, num_frames: int, output: str = 'clip') -> Tensor:
    """Image features before the final norm -> what the backbone returns.

    Args:
        trunk: whose final norm and projection are used.
        x: (B·T, D), clip by clip, as `Trunk.readout` gives them.
        num_frames: T.
        output: ``'clip'``, the mean over time and then the norm, or ``'frames'``, norm
            and projection of every frame.

    Returns:
        (B, D) for ``'clip'``, (B, T, E) for ``'frames'``.
    """
    frames = rearrange(x, '(b t) d -> b t d', t=num_frames)
    if output == 'frames':
        return trunk.project(trunk.final_norm(frames))
    return trunk.final_norm(frames.mean(dim=1))


def mean_of_frames(trunk: Trunk, x: Tensor, num_frames: int) -> Tensor:
    """The frames' features, normed one by one, then averaged. (B·T, L, D) -> (B, D)."""
    frames = trunk.final_norm(trunk.readout(x))
    return rearrange(frames, '(b t) d -> b t d', t=num_frames).mean(dim=1)
