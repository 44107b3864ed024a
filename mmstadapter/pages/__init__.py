"""Self-contained pages that show videos: a strip of frames, a link and some words each.

The templates lie beside this file. All that they are given is escaped.
"""

import base64
import html
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..datasets.packets import VideoReadError
from ..datasets.readers import open_video
from ..printing import shown

FRAMES, HEIGHT, WIDEST = 4, 112, 448  # pixels of a frame


def write_page(path: str | Path, template: str, figures: Iterable[Mapping], **values: Any) -> None:
    """Write a page of figures.

    Args:
        path: the .html file; its folder is made.
        template: name of a file beside this one.
        figures: of each its ``file`` and its `picture`, and what the template says of it.
        values: ``title``, ``heading``, ``note``.
    """
    text = _templates().get_template(template).render(figures=list(figures), **values)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding='utf-8', errors='backslashreplace')  # names may be no text


def picture(file: Path, start: float = 0.0, end: float | None = None) -> dict[str, str]:
    """The `strip` as ``picture``, or ``reason`` why there is none."""
    try:
        return dict(picture=base64.b64encode(strip(file, start, end)).decode())
    except VideoReadError as error:
        return dict(reason=error.reason)


def strip(file: Path, start: float = 0.0, end: float | None = None) -> bytes:
    """Four evenly spaced frames of a part of a video side by side, as JPEG.

    Args:
        file: the video.
        start: of the part, in seconds.
        end: of the part; that of the video if None.

    Raises:
        VideoReadError: if they cannot be decoded.
    """
    video = open_video(str(file))
    times = video.times[:-1]  # when each frame is shown; then when the last ends
    wanted = np.linspace(start, video.times[-1] if end is None else end, 2 * FRAMES + 1)[1::2]
    frames = video.read(np.clip(np.searchsorted(times, wanted, 'right') - 1, 0, len(times) - 1))
    height, width = frames[0].shape[:2]
    size = (min(max(1, round(width * HEIGHT / height)), WIDEST), HEIGHT)
    row = np.concatenate([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames], 1)
    return cv2.imencode('.jpg', row[:, :, ::-1])[1].tobytes()


@cache
def _templates() -> Environment:
    loader = PackageLoader(__name__, '.')
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    found.filters['shown'] = lambda name: Markup(html.escape(shown(name)))
    found.filters['link'] = lambda file: f'file://{quote(os.fsencode(file))}'
    return found
