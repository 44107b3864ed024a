"""Reading by decord, where its pictures are known to be the right ones."""

import io
import re
from collections.abc import Iterable

import numpy as np

from .opening import VideoReadError
from .orientation import UPRIGHT_MATRIX, display_matrix
from .readers import PyAVReader, check_range, one_array_each


def not_for_decord(video: PyAVReader) -> str:
    """Why decord 0.6.0 may give other frames or other pixels; empty where it is exact."""
    return video.facts.not_for_decord or _first_picture_trap(video)


def _first_picture_trap(video: PyAVReader) -> str:
    frame = video.first_frame()
    if display_matrix(frame) != UPRIGHT_MATRIX:
        return 'its pictures are to be turned or mirrored'
    if frame.interlaced_frame:
        return 'interlaced pictures'
    if (frame.height, frame.width) != video.facts.size:
        return 'pictures of another size than its header states'
    return ''


class DecordReader(PyAVReader):
    """Decode with decord, for files on which it was found exact.

    Args:
        video: the file.
        substitute: read with PyAV where decord fails (it cannot copy out frames of widths
            8, 16, 24, 48 and 72, says so, and knows nothing of some codecs); False: an error.
    """

    def __init__(self, video: PyAVReader, substitute: bool) -> None:
        super().__init__(video.source, video.path, video.facts, video.num_threads)
        self.substitute = substitute

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index in order of presentation, each its own (H, W, 3) uint8 RGB array."""
        indices = [int(index) for index in indices]
        check_range(indices, len(self), self.path)
        try:
            return one_array_each(indices, self._read(sorted(set(indices))))
        except VideoReadError:
            if not self.substitute:
                raise
            return super().read(indices)

    def _read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        frames = self.decode(wanted)
        if frames[0].shape[:2] not in (self.facts.size, self.facts.size[::-1]):
            reason = f'decoded to {frames[0].shape[:2]} pixels instead of {self.facts.size}'
            raise VideoReadError(self.path, reason)
        return dict(zip(wanted, frames, strict=True))

    def decode(self, wanted: list[int]) -> list[np.ndarray]:
        """Frames by index, ascending."""
        import decord

        file = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        try:
            video = decord.VideoReader(file, num_threads=self.num_threads)
            self.check_count('decord', len(video))
            return list(video.get_batch(wanted).asnumpy())
        except (decord.DECORDError, RuntimeError) as error:
            if isinstance(error, VideoReadError):
                raise
            reason = re.sub(r'^\[\S+ \S+:\d+: ', '', str(error).strip().splitlines()[0])
            raise VideoReadError(self.path, f'decord: {reason}') from error

    def check_count(self, who: str, frames: int) -> None:
        """Raise VideoReadError for another number of frames than the packets tell."""
        if frames != len(self):
            reason = f'{who} counts {frames} frames, its packets {len(self)}'
            raise VideoReadError(self.path, reason)
