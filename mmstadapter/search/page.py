"""The contact sheet of a search: one self-contained page with frames of every hit."""

import base64
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from ..datasets.packets import VideoReadError
from ..datasets.readers import open_video
from .printing import clock, shown
from .storage import VideoStamp, refuse_outside
from .video_index import Hit
from .windows import frame_times

FRAMES, HEIGHT, WIDEST = 4, 112, 448  # pixels of a frame
STYLE = (
    'body{font:15px sans-serif;margin:2em auto;max-width:70em;padding:0 1em}'
    'main{display:grid;grid-template-columns:repeat(auto-fill,minmax(20em,1fr));gap:1.5em}'
    'figure{margin:0}img{width:100%}figcaption{margin-top:.3em;overflow-wrap:anywhere}'
)


def write_sheet(
    path: str | Path,
    query: str,
    hits: Sequence[Hit],
    root: str | Path,
    stamps: Mapping[str, VideoStamp] | None = None,
) -> None:
    """Write the page; videos are linked, their frames are in it.

    Args:
        path: the .html file.
        query: what was searched for.
        hits: best first.
        root: folder of the videos.
        stamps: ``VideoIndex.stamps``; of a file that is not as it was indexed nothing is shown.
            Such frames would be of another video, perhaps one that is not to leave this machine.
    """
    title = html.escape(shown(query))
    figures = ''.join(
        _figure(rank, hit, Path(root), stamps) for rank, hit in enumerate(hits, start=1)
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f'<h1>{title}</h1><p>{len(hits)} segments, best first, in {html.escape(shown(root))}</p>'
        f'<main>{figures}</main>\n',
        encoding='utf-8',
        errors='backslashreplace',
    )


def strip(file: Path, start: float, end: float) -> bytes:
    """Four evenly spaced frames of a part of a video side by side, as JPEG.

    Raises:
        VideoReadError: if they cannot be decoded.
    """
    video = open_video(str(file))
    times, _ = frame_times(video)
    wanted = np.linspace(start, end, 2 * FRAMES + 1)[1::2]
    frames = video.read(np.clip(np.searchsorted(times, wanted, 'right') - 1, 0, len(times) - 1))
    height, width = frames[0].shape[:2]
    size = (min(max(1, round(width * HEIGHT / height)), WIDEST), HEIGHT)
    row = np.concatenate([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames], 1)
    return cv2.imencode('.jpg', row[:, :, ::-1])[1].tobytes()


def _figure(rank: int, hit: Hit, root: Path, stamps: Mapping[str, VideoStamp] | None) -> str:
    refuse_outside([hit.video])
    file = root / hit.video
    try:
        if stamps is not None:
            _refuse_changed(file, stamps.get(hit.video))
        code = base64.b64encode(strip(file, hit.start, hit.end)).decode()
        picture = f'<img src="data:image/jpeg;base64,{code}" alt="frames">'
    except VideoReadError as error:
        picture = f'<p>No picture: the file {html.escape(shown(error.reason))}.</p>'
    part = f'#t={hit.start:.2f},{hit.end:.2f}'
    link = f'<a href="file://{quote(os.fsencode(file))}{part}">{html.escape(shown(hit.video))}</a>'
    times = f'{clock(hit.start)} to {clock(hit.end)}'
    said = f'<b>{rank}.</b> {link}<br>{times}, {hit.score:.3f}'
    return f'<figure>{picture}<figcaption>{said}</figcaption></figure>'


def _refuse_changed(file: Path, stamp: VideoStamp | None) -> None:
    """Raise unless a file has the size and time of change that it was indexed with."""
    try:
        state = file.stat()
    except OSError as error:
        raise VideoReadError(str(file), f'cannot be read: {error.strerror}') from None
    if stamp is None or (state.st_size, state.st_mtime_ns) != (stamp.size, stamp.mtime_ns):
        raise VideoReadError(str(file), 'is not as it was when it was indexed')
