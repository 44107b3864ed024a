"""Clips become images here and nowhere else."""

from einops import rearrange
from torch import Tensor, nn


def images_of(video: Tensor) -> Tensor:
    """Clips as images, clip by clip. (B, 3, T, H, W) -> (B·T, 3, H, W).

    Raises:
        ValueError: if the tensor is not a batch of clips.
    """
    check_video(video)
    return rearrange(video, 'b c t h w -> (b t) c h w')


def check_video(video: Tensor, who: str = 'backbone') -> None:
    """Raise ValueError if a tensor is not a batch of clips."""
    if video.ndim != 5 or video.shape[1] != 3:
        raise ValueError(
            f'{who}: clips must be (B, 3, T, H, W), so that every clip of a batch has the same '
            f"number of frames, got {tuple(video.shape)}. Set format_shape='NCTHW' in the data "
            'preprocessor.'
        )


def frames_seen(backbone: nn.Module, num_frames: int) -> int:
    """Frames of a clip of so many sampled ones, with those around each that a backbone looks at."""
    return num_frames * getattr(backbone, 'num_diff', 1)
