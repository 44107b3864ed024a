"""What FFmpeg says in its log: much damage that it conceals is told nowhere else."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import av

Entry = tuple[int, str, str]  # level, who says it, what

# Errors about what surrounds the pictures: messages beside them (SEI), which drones and network
# cameras cut short, hints for display and timing, titles, chapters, attachments, other streams.
_HARMLESS = re.compile(
    r'\bSEI\b|\bVUI\b|\bVPS \d+ does not exist|\budta\b|\buuid\b|metadata|\btags?\b|chapter|attach'
    r'|cover|aspect|timecode|tmcd|time_scale|cpb_count|user.?data|spherical|stereo|\bicc\b|dovi'
    r'|mastering|content light|dynamic hdr|caption|audio|subtitle|unable to seek back',
    re.IGNORECASE,
)
_GAP = 'Frame num gap'  # FFmpeg fills it with the picture before, and says so for debugging only


@contextmanager
def listening() -> Iterator[list[Entry]]:
    """Collect what FFmpeg logs in this thread; its own decoding threads are not heard."""
    _open_ears()
    with av.logging.Capture() as said:
        yield said


def first_damage(said: Sequence[Entry], *names: str) -> str:
    """The first error that may be damage of pictures; empty if there is none.

    Args:
        said: by whomever.
        names: demuxer or decoder to believe; others speak of sound, titles or other streams.
    """
    for level, name, words in said:
        if level <= av.logging.ERROR and name in names and not _HARMLESS.search(words):
            return f'{name.split(",")[0]}: {words.strip()}'
    return ''


def misses_a_picture(said: Sequence[Entry]) -> bool:
    """Whether a number was left out among the pictures of H.264 that others are made from."""
    return any(name == 'h264' and words.startswith(_GAP) for _, name, words in said)


def errors_so_far() -> int:
    """How many errors FFmpeg has logged in this process, in any thread, of any file."""
    _open_ears()
    return av.logging.get_last_error()[0]


def _open_ears() -> None:
    """PyAV hears nothing unless told to, and leaves out what was said last, even of other files."""
    av.logging.set_level(max(av.logging.DEBUG, av.logging.get_level() or av.logging.DEBUG))
    av.logging.set_skip_repeated(False)


# What nobody collects must not reach the terminal; whoever sets up logging gets it.
logging.getLogger('libav').addHandler(logging.NullHandler())
