"""The few things that must be read from H.264 itself before a picture is decoded."""

from collections.abc import Iterator
from typing import NamedTuple

_SLICE_IDR, _SPS = 5, 7
_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


def nal_units(data: bytes, extradata: bytes) -> Iterator[bytes]:
    """The units of an H.264 packet (ITU-T H.264 7.3.1, ISO 14496-15 5.3)."""
    if extradata[:1] != b'\x01':  # after start codes; length-prefixed in mp4 and mkv
        yield from (unit.rstrip(b'\0') for unit in data.split(b'\x00\x00\x01')[1:] if unit)
        return
    width, at = (extradata[4] & 3) + 1, 0
    while at + width < len(data):
        end = at + width + int.from_bytes(data[at : at + width], 'big')
        yield data[at + width : end]
        at = end


def cuts_references(data: bytes, extradata: bytes) -> bool:
    """Whether a packet is an IDR picture, past which no later picture looks."""
    return any(unit[:1] and unit[0] & 31 == _SLICE_IDR for unit in nal_units(data, extradata))


def parameter_sets(data: bytes, extradata: bytes) -> set[bytes]:
    """The sequence parameter sets within a packet."""
    return {unit for unit in nal_units(data, extradata) if unit[:1] and unit[0] & 31 == _SPS}


def stated_sets(extradata: bytes) -> set[bytes]:
    """The sequence parameter sets of a header, avcC (ISO 14496-15 5.3.3.1) or units."""
    if extradata[:1] != b'\x01':
        return parameter_sets(extradata, extradata)
    sets, at = set(), 6
    for _ in range(extradata[5] & 31):
        end = at + 2 + int.from_bytes(extradata[at : at + 2], 'big')
        sets.add(extradata[at + 2 : end])
        at = end
    return sets


class Parameters(NamedTuple):
    """What is read of a sequence parameter set (7.3.2.1).

    Attributes:
        gaps: frames may be left out, as senders do to save bandwidth: numbers then have gaps.
        only_frames: no picture is interlaced.
        crop: columns and rows cut off on the left and at the top, in units of chroma.
    """

    gaps: bool
    only_frames: bool
    crop: tuple[int, int]


def read_parameters(unit: bytes) -> Parameters:
    """Read a sequence parameter set.

    Raises:
        ValueError: it ends early or has scaling lists, which are not read.
    """
    bits = _Bits(unit.replace(b'\x00\x00\x03', b'\x00\x00')[1:])
    profile = bits.take(8)
    bits.take(16)
    bits.numbers(1)
    if profile in _WITH_CHROMA:
        _skip_chroma(bits)
    bits.numbers(1)  # of frame numbers
    (order,) = bits.numbers(1)
    if order == 0:
        bits.numbers(1)
    elif order == 1:
        bits.take(1)
        *_, cycle = bits.numbers(3)
        bits.numbers(cycle)
    bits.numbers(1)  # reference frames
    gaps = bits.take(1)
    bits.numbers(2)  # width and height
    only_frames = bits.take(1)
    if not only_frames:
        bits.take(1)  # mixed within a picture
    bits.take(1)  # direct prediction
    left, _, top, _ = bits.numbers(4) if bits.take(1) else [0] * 4
    return Parameters(bool(gaps), bool(only_frames), (left, top))


def _skip_chroma(bits: '_Bits') -> None:
    if bits.numbers(1) == [3]:
        bits.take(1)
    bits.numbers(2)
    bits.take(1)
    if bits.take(1):
        raise ValueError('scaling lists')


class _Bits:
    """Bits from the first on; ends with a ValueError."""

    def __init__(self, data: bytes) -> None:
        self.text = ''.join(f'{byte:08b}' for byte in data[:256])
        self.at = 0

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        part = self.text[self.at : self.at + count]
        self.at += count
        return int(part, 2) if len(part) == count else _ended()

    def numbers(self, count: int) -> list[int]:
        """Exp-Golomb numbers (9.1); of signed ones this gets the length right."""
        return [self._number() for _ in range(count)]

    def _number(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.take(zeros) if zeros else 0)


def _ended() -> int:
    raise ValueError('ends early')
