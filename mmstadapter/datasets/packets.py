"""What a video file's packets tell before any picture is decoded.

Reading the packets costs about 5 % of decoding (benchmarks/decode_*.md) and answers: is the file
whole, when is each frame shown, where may decoding start, is decord exact on this file.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import av
import numpy as np
from av.stream import Disposition

# In these a packet is one frame with its own presentation time, and the header's duration holds.
_ONE_PACKET_ONE_FRAME = {'h264', 'vp9', 'mpeg4'}
_INDEXED = {'mov', 'matroska'}
_STATES_DURATION = {'mov', 'matroska', 'avi'}
# decord and PyAV convert these to the same RGB values, and more than 8 bits to different ones.
_SAME_COLOURS = {'yuv420p', 'yuvj420p', 'yuv422p', 'yuvj422p', 'yuv444p', 'yuvj444p'}
_NO_TIME = -(2**63)
# Titles that are no text are no reason to refuse a video; from PyAV 19 on they never are.
_OPEN_OPTIONS: dict[str, Any] = (
    {'metadata_errors': 'replace'} if int(av.__version__.split('.')[0]) < 19 else {}
)
_PLACEHOLDER_BYTES = 8  # an MPEG-4 "not coded" packet is shorter and holds no picture


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
        return f'{self.path}: {self.reason}' if self.reason else self.path


@dataclass(frozen=True)
class VideoFacts:
    """Findings about the video stream of one file.

    Attributes:
        size: (height, width) as stored, before a rotation noted in the file.
        fps: average frames per second, 0.0 if unknown.
        times: when each frame is shown, in the stream's ticks, ascending; None where packets
            do not tell, and frames have to be counted by decoding.
        starts: those of ``times`` where decoding may start: nothing later looks further back.
        not_for_decord: why decord 0.6.0 may give other frames; empty where it is exact.
    """

    size: tuple[int, int]
    fps: float
    times: np.ndarray | None
    starts: np.ndarray
    not_for_decord: str


def examine(source: str | bytes, path: str) -> VideoFacts:
    """Read all packets of a file, given by its path or its content.

    Raises:
        VideoReadError: no such file, not a video, no video stream, no packets, cut short.
    """
    with opened(source, path) as container:
        stream = video_stream(container, path)
        family = container.format.name.split(',')[0]
        packets, end = _collect(container, stream, path, family)
        _refuse_if_cut_short(container, stream, packets, end, path, family)
        codec = stream.codec_context
        irregular = _irregularity(packets, family, codec.name)
        times = starts = np.empty(0, np.int64)
        if not irregular:
            times = np.sort([packet.pts for packet in packets])
            starts = np.array(_safe_starts(packets, codec.name, codec.extradata), np.int64)
        several = sum(s.type == 'video' for s in container.streams) > 1
        return VideoFacts(
            size=(codec.height, codec.width),
            fps=float(stream.average_rate or 0),
            times=None if irregular else times,
            starts=starts,
            not_for_decord=irregular or _decord_trap(packets, starts, several, codec.pix_fmt),
        )


@contextmanager
def opened(source: str | bytes, path: str) -> Iterator[av.container.InputContainer]:
    """``with opened(source, path) as container``: libav's errors become VideoReadError."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        container = av.open(file, mode='r', **_OPEN_OPTIONS)
    except (av.FFmpegError, OSError) as error:
        raise VideoReadError(path, f'cannot be opened: {_words(error)}') from error
    try:
        with container:
            yield container
    except av.FFmpegError as error:
        raise VideoReadError(path, f'is damaged or cut short: {_words(error)}') from error


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
        yield from container.demux(*streams)
    except IndexError as error:
        reason = 'is damaged: a stream appears that its beginning does not list'
        raise VideoReadError(path, reason) from error


class _Packet(NamedTuple):
    pts: int
    size: int
    is_key: bool
    is_discard: bool
    data: bytes  # of key frames, to see what kind of key they are


def _collect(container, stream, path: str, family: str) -> tuple[list[_Packet], float]:
    """The video packets in file order, and the end of the last packet of any stream, seconds."""
    packets, end = [], 0.0
    tick = {index: float(s.time_base or 0) for index, s in enumerate(container.streams)}
    is_h264, indexed = stream.codec_context.name == 'h264', family in _STATES_DURATION
    for packet in packets_of(container, path):
        if not packet.size:
            continue
        if packet.is_corrupt and indexed:
            raise VideoReadError(path, 'is damaged or cut short: a packet is incomplete')
        pts, index = packet.pts, packet.stream_index
        if pts is not None:
            end = max(end, (pts + (packet.duration or 0)) * tick[index])
        if index == stream.index:
            key = packet.is_keyframe
            data = bytes(packet) if key and is_h264 else b''
            pts = _NO_TIME if pts is None else pts
            packets.append(_Packet(pts, packet.size, key, packet.is_discard, data))
    if not packets:
        raise VideoReadError(path, 'has a video stream without any packets')
    return packets, end


def _refuse_if_cut_short(container, stream, packets, end: float, path: str, family: str) -> None:
    """Compare the last packet's time with the duration in the header."""
    if family not in _STATES_DURATION or not container.duration:
        return
    stated = container.duration / 1e6
    reached = end - (container.start_time or 0) / 1e6
    # The last picture may be shown for long without the packets saying so.
    times = np.sort([packet.pts for packet in packets if packet.pts != _NO_TIME])
    gap = max(np.diff(times), default=0) * float(stream.time_base)
    if reached < stated - max(0.5, 0.05 * stated, 2 * gap):
        reason = f'is cut short: its header states {stated:.1f} s, its packets end at '
        raise VideoReadError(path, f'{reason}{reached:.1f} s')


def _irregularity(packets: list[_Packet], family: str, codec: str) -> str:
    """Why the packets do not tell the frames; empty where they do."""
    if family not in _INDEXED or codec not in _ONE_PACKET_ONE_FRAME:
        return f'{codec} in {family} is not a known pair'
    times = [packet.pts for packet in packets]
    if _NO_TIME in times or len(set(times)) < len(times):
        return 'frames without a time of their own'
    if any(packet.is_discard for packet in packets):
        return 'an edit list hides frames'
    if codec == 'mpeg4' and any(packet.size < _PLACEHOLDER_BYTES for packet in packets):
        return 'packets without a picture'
    return ''


def _safe_starts(packets: list[_Packet], codec: str, extradata: bytes | None) -> list[int]:
    """Times of key frames that cut every reference.

    H.264 marks recovery points of open groups of pictures and of intra refresh as key
    frames too; only IDR pictures cut. An MPEG-4 key frame cuts unless a later packet is
    shown before it. A VP9 key frame always does.
    """
    starts: list[int] = []
    earliest = max(packet.pts for packet in packets) + 1
    for packet in reversed(packets):
        cuts = packet.is_key and packet.pts < earliest
        if cuts and codec == 'h264':
            cuts = any(kind == 5 for kind in _nal_kinds(packet.data, extradata or b''))
        if cuts:
            starts.append(packet.pts)
        earliest = min(earliest, packet.pts)
    return starts[::-1]


def _nal_kinds(data: bytes, extradata: bytes) -> Iterator[int]:
    """nal_unit_type of each unit of an H.264 packet (ITU-T H.264 7.4.1, ISO 14496-15 5.3)."""
    if extradata[:1] == b'\x01':  # length-prefixed, as in mp4 and mkv
        width, at = (extradata[4] & 3) + 1, 0
        while at + width < len(data):
            yield data[at + width] & 31
            at += width + int.from_bytes(data[at : at + width], 'big')
    else:
        for unit in data.split(b'\x00\x00\x01')[1:]:
            yield unit[0] & 31 if unit else 0


def _decord_trap(packets, starts: np.ndarray, several: bool, pix_fmt: str | None) -> str:
    """Why decord may be wrong although packet and frame are one; empty where it is exact.

    decord starts at any key frame, cutting or not, and then counts frames from there.
    """
    if sum(packet.is_key for packet in packets) > len(starts):
        return 'key frames that later pictures look past (open groups of pictures)'
    if not len(starts) or starts[0] != min(packet.pts for packet in packets):
        return 'it does not begin with a key frame'
    if several:
        return 'several video streams'
    if pix_fmt not in _SAME_COLOURS:
        return f'pixel format {pix_fmt}'
    return ''


def _words(error: Exception) -> str:
    """The message of libav without number and file name."""
    return (getattr(error, 'strerror', None) or str(error)).lower()
