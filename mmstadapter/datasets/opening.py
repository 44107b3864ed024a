"""Open a video file and take its packets; whatever FFmpeg reports of damage is an error."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.stream import Disposition

from ..printing import shown
from .ffmpeg_log import Entry, first_damage, listening

# Titles that are not text are no reason to refuse a video; from PyAV 19 on they never are.
_OPEN_OPTIONS: dict[str, Any] = (
    {'metadata_errors': 'replace'} if int(av.__version__.split('.')[0]) < 19 else {}
)


class VideoReadError(RuntimeError):
    """A video that cannot be decoded: missing, empty, damaged, cut short, without pictures.

    Args:
        path: the file.
        reason: what is wrong with it, as the end of a sentence.
    """

    def __init__(self, path: str, reason: str = '') -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{shown(self.path)}: {self.reason}' if self.reason else shown(self.path)


@contextmanager
def opened(
    source: str | bytes, path: str, options: dict[str, str] | None = None
) -> Iterator[av.container.InputContainer]:
    """``with opened(source, path) as container``: libav's errors become VideoReadError."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with listening() as said:
            container = av.open(file, mode='r', options=options or {}, **_OPEN_OPTIONS)
    except (av.FFmpegError, OSError) as error:
        raise VideoReadError(path, f'cannot be opened: {_words(error)}') from error
    with container:
        refuse_damage(path, said, container.format.name)
        try:
            yield container
        except av.FFmpegError as error:
            raise VideoReadError(path, f'is damaged or cut short: {_words(error)}') from error
        finally:
            _rest(container)


def _rest(container: av.container.InputContainer) -> None:
    """Let FFmpeg's threads finish: closing holds the lock that they need to log an error."""
    for stream in container.streams.video:
        if stream.codec_context is not None and stream.codec_context.is_open:
            stream.codec_context.flush_buffers()


@contextmanager
def hearing(path: str, *names: str) -> Iterator[list[Entry]]:
    """Make errors of libav, and errors in the log of those named, a VideoReadError."""
    with listening() as said:
        try:
            yield said
        except av.FFmpegError as error:
            words = first_damage(said, *names)
            reason = f'{_words(error)} ({words})' if words else _words(error)
            raise VideoReadError(path, f'is damaged or cut short: {reason}') from error
    refuse_damage(path, said, *names)


def refuse_damage(path: str, said: list[Entry], *names: str) -> None:
    """Raise VideoReadError if one of those named logged an error about pictures."""
    words = first_damage(said, *names)
    if words:
        raise VideoReadError(path, f'is damaged or cut short ({words})')


def video_stream(container: av.container.InputContainer, path: str) -> av.VideoStream:
    """The first stream of moving pictures; cover art is none."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise VideoReadError(path, 'is encoded with a codec that FFmpeg does not know')
        return stream
    found = ', '.join(sorted({stream.type for stream in container.streams}))
    raise VideoReadError(path, f'has no video stream, only {found or "nothing"}')


def packets_of(container, path: str, *streams) -> Iterator[av.Packet]:
    """Packets of the streams, or of all. A stream that appears late makes PyAV's fail."""
    try:
        packets = iter(container.demux(*streams))
        while True:
            with hearing(path, container.format.name):
                packet = next(packets, None)
            if packet is None:
                return
            yield packet
    except IndexError as error:
        reason = 'is damaged: a stream appears that its beginning does not list'
        raise VideoReadError(path, reason) from error


def _words(error: Exception) -> str:
    """The message of libav without number and file name."""
    return (getattr(error, 'strerror', None) or str(error)).lower()
