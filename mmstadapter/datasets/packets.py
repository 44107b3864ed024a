"""What a video file's packets tell before any picture is decoded.

Reading the packets costs about 5 % of decoding (benchmarks/decode_*.md) and answers: is the file
whole, when is each frame shown, where may decoding start, is decord exact on this file.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .h264 import Parameters, cuts_references, parameter_sets, read_parameters, stated_sets
from .opening import VideoReadError, opened, packets_of, video_stream
from .stated import Count, refuse_less_than_stated

# In these a packet is one frame with its own presentation time.
_ONE_PACKET_ONE_FRAME = {'h264', 'vp9', 'mpeg4'}
_INDEXED = {'mov', 'matroska'}
# In these, and in flv too, a packet gives one frame (VP8 and MPEG-4 have packets without any).
_NONE_WITHOUT_FRAME = {'h264', 'hevc', 'vp9', 'av1', 'libdav1d'}
# decord and PyAV convert these to the same RGB values, and more than 8 bits to different ones.
_SAME_COLOURS = {'yuv420p', 'yuvj420p', 'yuv422p', 'yuvj422p', 'yuv444p', 'yuvj444p'}
_BROADCAST = {'mpegts', 'mpeg'}
_NO_TIME = -(2**63)
_PLACEHOLDER_BYTES = 8  # an MPEG-4 "not coded" packet is shorter and holds no picture


@dataclass(frozen=True)
class VideoFacts:
    """Findings about the video stream of one file.

    Attributes:
        container: FFmpeg's first name of the kind of file.
        size: (height, width) as stored, before a rotation noted in the file.
        rate: average frames per second as the header states it, 0.0 if it does not.
        tick: the stream's unit of time, seconds.
        times: when each frame is shown, in ticks, ascending; None where packets do not tell,
            and frames have to be counted by decoding.
        last: how long the last of ``times`` is shown, in ticks; 0 if unknown.
        due: when frames are to come, in ticks, ascending, where each packet must give one; None
            where that is not known.
        starts: those of ``times`` where decoding may start: nothing later looks further back.
        numbered: frames that others are made from are numbered without gaps (H.264, as a rule).
        joins_midway: begins in a broadcast that runs: pictures before the first key frame are lost.
        not_for_decord: why decord 0.6.0 may give other frames; empty where it is exact.
    """

    container: str
    size: tuple[int, int]
    rate: float
    tick: float
    times: np.ndarray | None
    last: int
    due: np.ndarray | None
    starts: np.ndarray
    numbered: bool
    joins_midway: bool
    not_for_decord: str


def examine(source: str | bytes, path: str) -> VideoFacts:
    """Read all packets of a file, given by its path or its content.

    Raises:
        VideoReadError: no such file, not a video, no video stream, no packets, cut short.
    """
    with opened(source, path) as container:
        stream = video_stream(container, path)
        packets, came = _collect(container, stream, path)
        refuse_less_than_stated(container, source, path, came)
        codec, family = stream.codec_context, container.format.name.split(',')[0]
        irregular = _irregularity(packets, family, codec.name)
        ordered = [] if irregular else sorted(packets, key=lambda packet: packet.pts)
        safe = _safe_starts(packets, codec.name, codec.extradata or b'') if ordered else []
        starts = np.array(safe, np.int64)
        sets = _parameters(packets, codec.extradata or b'') if codec.name == 'h264' else []
        several = sum(s.type == 'video' for s in container.streams) > 1
        return VideoFacts(
            container=family,
            size=(codec.height, codec.width),
            rate=float(stream.average_rate or 0),
            tick=float(stream.time_base or 0),
            times=None if irregular else np.array([packet.pts for packet in ordered]),
            last=ordered[-1].duration if ordered else 0,
            due=_due(packets, family, codec.name),
            starts=starts,
            numbered=bool(sets) and not any(found.gaps for found in sets),
            joins_midway=family in _BROADCAST and not packets[0].is_key,
            not_for_decord=irregular or _decord_trap(packets, starts, several, codec, sets),
        )


class _Packet(NamedTuple):
    pts: int
    duration: int
    size: int
    is_key: bool
    is_discard: bool
    data: bytes  # of key frames, to see what kind of key they are


def _collect(container, stream, path: str) -> tuple[list[_Packet], Count]:
    """The video packets in file order, and how many and how long they are."""
    packets, end, slots, stored = [], 0.0, 0, []
    tick = {index: float(s.time_base or 0) for index, s in enumerate(container.streams)}
    is_h264 = stream.codec_context.name == 'h264'
    for packet in packets_of(container, path):
        index, when, length = packet.stream_index, packet.pts, packet.duration or 0
        if index == stream.index and packet.size:
            stored.append((packet.dts or 0, packet.is_corrupt))
        if when is not None:
            end = max(end, (when + length) * tick[index])
        if index != stream.index or packet.dts is None and not packet.size:
            continue
        slots = max(slots, (packet.dts or 0) + length)
        if packet.size:
            data = bytes(packet) if packet.is_keyframe and is_h264 else b''
            when = _NO_TIME if when is None else when
            kind = packet.is_keyframe, packet.is_discard
            packets.append(_Packet(when, length, packet.size, *kind, data))
    _refuse_incomplete(stored, path)
    if not packets:
        raise VideoReadError(path, 'has a video stream without any packets')
    times = np.sort([packet.pts for packet in packets if packet.pts != _NO_TIME])
    gap = float(max(np.diff(times), default=0) * tick[stream.index])
    hidden = sum(packet.is_discard for packet in packets)
    return packets, Count(len(packets), hidden, slots, end, gap)


def _refuse_incomplete(stored: list[tuple[int, bool]], path: str) -> None:
    """Raise VideoReadError for packets that FFmpeg calls corrupt; stored: time and whether so.

    Files put one behind the other look as if a part were lost there; their times begin anew.
    """
    for index, (_, is_corrupt) in enumerate(stored):
        near = [time for time, _ in stored[max(0, index - 1) : index + 3]]
        if is_corrupt and near == sorted(near):
            raise VideoReadError(path, 'is damaged or cut short: a packet is incomplete')


def _due(packets: list[_Packet], family: str, codec: str) -> np.ndarray | None:
    times = [packet.pts for packet in packets if not packet.is_discard]
    known = family in (*_INDEXED, 'flv') and codec in _NONE_WITHOUT_FRAME and _NO_TIME not in times
    return np.sort(times) if known else None


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


def _safe_starts(packets: list[_Packet], codec: str, extradata: bytes) -> list[int]:
    """Times of key frames that cut every reference.

    H.264 marks recovery points of open groups of pictures and of intra refresh as key
    frames too; only IDR pictures cut. An MPEG-4 key frame cuts unless a later packet is
    shown before it. A VP9 key frame always does.
    """
    starts: list[int] = []
    earliest = max(packet.pts for packet in packets) + 1
    for packet in reversed(packets):
        cuts = packet.is_key and packet.pts < earliest
        if cuts and (codec != 'h264' or cuts_references(packet.data, extradata)):
            starts.append(packet.pts)
        earliest = min(earliest, packet.pts)
    return starts[::-1]


def _decord_trap(packets, starts: np.ndarray, several: bool, codec, sets: list[Parameters]) -> str:
    """Why decord may be wrong although packet and frame are one; empty where it is exact.

    decord starts at any key frame, cutting or not, and then counts frames from there. It
    converts interlaced pictures to other colours and crops other columns.
    """
    if sum(packet.is_key for packet in packets) > len(starts):
        return 'key frames that later pictures look past (open groups of pictures)'
    if not len(starts) or starts[0] != min(packet.pts for packet in packets):
        return 'it does not begin with a key frame'
    if several:
        return 'several video streams'
    if codec.pix_fmt not in _SAME_COLOURS:
        return f'pixel format {codec.pix_fmt}'
    plain = len(sets) == 1 and sets[0].only_frames and sets[0].crop == (0, 0)
    if codec.name == 'h264' and not plain:
        return 'H.264 that may be interlaced, cropped on the left or change its size'
    return ''


def _parameters(packets: list[_Packet], extradata: bytes) -> list[Parameters]:
    """Those of an H.264 stream; none if one cannot be read."""
    try:
        sets = stated_sets(extradata)
        for packet in packets:
            sets |= parameter_sets(packet.data, extradata)
        return [read_parameters(unit) for unit in sets]
    except (IndexError, ValueError):
        return []
