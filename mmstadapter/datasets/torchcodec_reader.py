"""Reading by torchcodec (extra `torchcodec`), where its pictures are known to be the right ones."""

import numpy as np

from .decord_reader import DecordReader
from .opening import VideoReadError


class TorchcodecReader(DecordReader):
    """Decode with torchcodec, for files on which decord would be exact too.

    Those are the files whose packets tell every frame: torchcodec, which finds frames by the
    packets' times, is not asked for others.
    """

    def decode(self, wanted: list[int]) -> list[np.ndarray]:
        """Frames by index, ascending."""
        from torchcodec.decoders import VideoDecoder

        try:
            video = VideoDecoder(
                self.source,
                dimension_order='NHWC',
                num_ffmpeg_threads=self.num_threads,
                seek_mode='exact',  # by the packets, not by the rate that a header states
            )
            self.check_count('torchcodec', len(video))
            return list(video.get_frames_at(wanted).data.numpy())
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, VideoReadError):
                raise
            raise VideoReadError(self.path, f'torchcodec: {_first_line(error)}') from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def why_not_torchcodec() -> str:
    """Why torchcodec cannot be used here; empty if it can."""
    try:
        import torchcodec.decoders  # noqa: F401
    except ImportError:
        return "torchcodec is not installed: pip install 'mmstadapter[torchcodec]'"
    except (OSError, RuntimeError) as error:  # it looks for the libraries of FFmpeg 4 to 9
        return f'torchcodec finds no libraries of FFmpeg that it can load ({_first_line(error)})'
    return ''
