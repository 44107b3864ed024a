"""Compare what a file's header states with what is there: has a part been lost?"""

from typing import NamedTuple

from .opening import VideoReadError, opened, video_stream

_SEGMENT = b'\x18\x53\x80\x67'  # the Matroska element that holds all others


class Count(NamedTuple):
    """The packets of a video stream, and how far any stream reaches.

    Attributes:
        pictures: packets with content.
        hidden: how many of these an edit list hides.
        slots: in avi, where time is counted in frames, the last packet's number plus one.
        end: seconds, when the last packet of any stream has been shown.
        gap: seconds, the longest between two pictures.
    """

    pictures: int
    hidden: int
    slots: int
    end: float
    gap: float


def refuse_less_than_stated(container, source: str | bytes, path: str, came: Count) -> None:
    """Raise VideoReadError if the header states more than came.

    Frames are counted where the header counts them (mp4, mov, avi) and bytes where it counts
    those (mkv, webm). A stated duration is believed only where neither is stated: headers tell
    wrong ones, and the last picture may be meant to stay.
    """
    family, stated = container.format.name.split(',')[0], video_stream(container, path).frames
    if family == 'mov' and stated:
        if came.pictures < stated or came.hidden:
            _refuse_unless_hidden(source, path, stated, came.pictures)
    elif family == 'avi' and stated:
        if came.slots < stated:
            raise _fewer(path, stated, came.slots)
    elif family == 'matroska' and (size := _segment_end(source)):
        if size > container.size > 0:
            reason = f'its header states {size} bytes, it has {container.size}'
            raise VideoReadError(path, f'is cut short: {reason}')
    elif family in ('mov', 'matroska', 'avi'):
        _refuse_if_it_ends_early(container, path, came, from_zero=family == 'matroska')


def _refuse_unless_hidden(source: str | bytes, path: str, stated: int, came: int) -> None:
    """An edit list may hide frames: then the file is whole if they are there without it."""
    with opened(source, path, {'ignore_editlist': '1'}) as container:
        stream = video_stream(container, path)
        times = [p.pts for p in container.demux(stream) if p.size and p.pts is not None]
        lasting = stream.duration or 0
    if len(times) < stated:
        raise _fewer(path, stated, came)
    if lasting and max(times) - min(times) > 1.05 * lasting:
        # Then it is a damaged table of times that puts frames where the edit list ends.
        reason = 'times in its header are beyond the duration there'
        raise VideoReadError(path, f'is damaged: {reason}')


def _fewer(path: str, stated: int, came: int) -> VideoReadError:
    reason = f'its header states {stated} frames, {came} are there'
    return VideoReadError(path, f'is damaged or cut short: {reason}')


def _refuse_if_it_ends_early(container, path: str, came: Count, from_zero: bool) -> None:
    if not container.duration:
        return
    stated = container.duration / 1e6
    # Matroska's duration counts from 0, not from the first packet.
    reached = came.end - (0 if from_zero else (container.start_time or 0) / 1e6)
    if reached < stated - max(0.5, 0.05 * stated, 2 * came.gap):
        reason = f'is cut short: its header states {stated:.1f} s, its packets end at '
        raise VideoReadError(path, f'{reason}{reached:.1f} s')


def _segment_end(source: str | bytes) -> int:
    """Where a Matroska file should end by its own header; 0 where that leaves it open."""
    if isinstance(source, bytes):
        head = source[:4096]
    else:
        with open(source, 'rb') as file:
            head = file.read(4096)
    at = head.find(_SEGMENT)
    if at < 0 or at + 12 > len(head) or not head[at + 4]:
        return 0
    width = 9 - head[at + 4].bit_length()
    size = int.from_bytes(head[at + 4 : at + 4 + width], 'big') & ((1 << 7 * width) - 1)
    return 0 if size == (1 << 7 * width) - 1 else at + 4 + width + size
