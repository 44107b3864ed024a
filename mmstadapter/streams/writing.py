"""A timeline as a file: JSON, CSV, subtitles, a picture."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..apis.tables import csv_text, write_whole
from ..printing import shown
from .picture import FORMATS, picture

if TYPE_CHECKING:
    from .over_time import Timeline


def as_json(found: 'Timeline') -> str:
    """Everything: segments, and the scores of every window."""
    whole = dict(
        video=found.video,
        seconds=round(found.seconds, 3),
        stopped=found.stopped,
        thresholds=found.thresholds,
        cost=found.cost,
        segments=[_rounded(segment._asdict()) for segment in found.segments],
        labels=found.labels,
        windows=[[round(start, 3), round(end, 3)] for start, end in found.windows],
        scores=[[round(float(x), 6) for x in row] for row in found.scores],
    )
    return json.dumps(whole) + '\n'


def as_csv(found: 'Timeline') -> str:
    """A row a segment."""
    rows = [_rounded(segment._asdict()) for segment in found.segments]
    return csv_text(('start', 'end', 'label', 'score', 'peak'), (row.values() for row in rows))


def as_srt(found: 'Timeline') -> str:
    """Subtitles, SubRip."""
    cues = (
        f'{number}\n{clock(s.start, ",")} --> {clock(s.end, ",")}\n{_text(s.label)} {s.score:.2f}\n'
        for number, s in enumerate(found.segments, start=1)
    )
    return '\n'.join(cues)


def as_vtt(found: 'Timeline') -> str:
    """Subtitles, WebVTT."""
    cues = (
        f'{clock(s.start, ".")} --> {clock(s.end, ".")}\n{html.escape(_text(s.label), False)} '
        f'{s.score:.2f}\n'
        for s in found.segments
    )
    return '\n'.join(['WEBVTT\n', *cues])


KINDS: dict[str, Callable[['Timeline'], str]] = {
    '.json': as_json, '.csv': as_csv, '.srt': as_srt, '.vtt': as_vtt,
}  # fmt: skip
SUFFIXES = (*KINDS, *FORMATS)


def write(found: 'Timeline', path: Path) -> None:
    """Write a timeline as the suffix says.

    Raises:
        ValueError: for another suffix.
    """
    kind = check_suffix(path)
    write_whole(path, KINDS[kind](found) if kind in KINDS else picture(found, kind[1:]))


def check_suffix(path: Path) -> str:
    """The suffix in small letters, or ValueError."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f'timeline: a file is written by its suffix, {", ".join(SUFFIXES)}; got {path}.'
        )
    return suffix


def clock(seconds: float, point: str) -> str:
    """3661.5 -> '01:01:01,500'."""
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f'{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}'


def _text(label: str) -> str:
    """A label on one line that no reader of subtitles takes for a time."""
    return shown(label).replace('-->', '->')


def _rounded(row: dict) -> dict:
    return {key: round(x, 3) if isinstance(x, float) else x for key, x in row.items()}
