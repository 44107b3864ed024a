"""The contact sheet of a search: one self-contained page with frames of every hit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..pages import picture, strip, write_page
from ..printing import shown
from .printing import clock
from .storage import VideoStamp, refuse_outside
from .video_index import Hit

__all__ = ['strip', 'write_sheet']


def write_sheet(
    path: str | Path,
    found: Sequence[tuple[str, Sequence[Hit]]],
    root: str | Path,
    stamps: Mapping[str, VideoStamp] | None = None,
) -> None:
    """Write the page; videos are linked, their frames are in it.

    Args:
        path: the .html file.
        found: what was searched for, and its hits, best first; of each query.
        root: folder of the videos.
        stamps: ``VideoIndex.stamps``; of a file that is not as it was indexed nothing is shown.
            Such frames would be of another video, perhaps one that is not to leave this machine.
    """
    pairs = [(query, hit) for query, hits in found for hit in hits]
    refuse_outside(hit.video for _, hit in pairs)
    heading = found[0][0] if len(found) == 1 else f'{len(found)} queries'
    note = f'{len(pairs)} segments, best first, in {shown(root)}'
    figures = [_figure(hit, Path(root), stamps) for _, hit in pairs]
    if len(found) > 1:
        figures = [
            dict(f, said=f'{f["said"]}: {q}') for f, (q, _) in zip(figures, pairs, strict=True)
        ]
    write_page(path, 'hits.html', figures, title=heading, heading=heading, note=note)


def _figure(hit: Hit, root: Path, stamps: Mapping[str, VideoStamp] | None) -> dict:
    file = root / hit.video
    reason = '' if stamps is None else changed(file, stamps.get(hit.video))
    seen = dict(reason=reason) if reason else picture(file, hit.start, hit.end)
    said = f'{clock(hit.start)} to {clock(hit.end)}, {hit.score:.3f}'
    return dict(hit.asdict(), file=file, said=said, **seen)


def changed(file: Path, stamp: VideoStamp | None) -> str:
    """Why a file has not the size and time of change that it was indexed with, or ''."""
    try:
        state = file.stat()
    except OSError as error:
        return f'cannot be read: {error.strerror}'
    if stamp is None or (state.st_size, state.st_mtime_ns) != (stamp.size, stamp.mtime_ns):
        return 'is not as it was when it was indexed'
    return ''
