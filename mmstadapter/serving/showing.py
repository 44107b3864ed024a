"""Hits, moments and timelines as pieces of HTML that hold their pictures; all names escaped."""

import base64
import html
from typing import Any

from ..printing import shown
from ..search.choosing import Hit
from ..search.printing import clock
from ..streams import Timeline


def text(value: object) -> str:
    """A name or sentence, printable and escaped."""
    return html.escape(shown(value))


def hit(found: Hit, preview: bytes | None, reason: str = '') -> str:
    """A hit with its moving preview, or why there is none."""
    picture = f'<p class="none">{text(reason) or "&hellip;"}</p>'
    if preview is not None:
        code = base64.b64encode(preview).decode()
        picture = f'<img src="data:image/webp;base64,{code}" alt="preview" style="width:100%">'
    said = f'{found.score:.3f} &middot; {clock(found.start)} to {clock(found.end)}'
    return f'{picture}<div><b>{text(found.video)}</b><br>{said}</div>'


def player(found: Hit, moment: bytes) -> str:
    """A moment that plays at once."""
    code = base64.b64encode(moment).decode()
    said = f'{text(found.video)}, {clock(found.start)} to {clock(found.end)}'
    return (
        f'<video controls autoplay muted loop style="width:100%;max-height:38vh" '
        f'src="data:video/mp4;base64,{code}"></video><div>{said}</div>'
    )


def note(sentence: str) -> str:
    """A sentence for the user."""
    return f'<p role="alert">{text(sentence)}</p>'


def labels(entry: dict[str, Any]) -> str:
    """The best labels of a whole video, each with a bar."""
    rows = [
        f'<tr><td>{text(label)}</td><td>{score:.3f}</td><td style="width:60%"><div '
        f'style="background:#4e79a7;height:1em;width:{100 * score:.1f}%"></div></td></tr>'
        for label, score in zip(entry['labels'], entry['scores'], strict=True)
    ]
    return f'<table style="width:100%">{"".join(rows)}</table>'


def timeline(found: Timeline, drawn: bytes) -> str:
    """Its segments, its picture, and why it ends early if it does.

    Args:
        found: of a dropped video.
        drawn: its picture, PNG.
    """
    rows = ''.join(
        f'<tr><td>{clock(s.start)}</td><td>{clock(s.end)}</td><td>{text(s.label)}</td>'
        f'<td>{s.score:.3f}</td></tr>'
        for s in found.segments
    )
    head = '<tr><th>from</th><th>to</th><th>label</th><th>score</th></tr>'
    table = f'<table class="segments">{head}{rows}</table>'
    if not rows:
        table = note(f'No score reaches {found.thresholds["high"]:.3g}.')
    ends = f'The file {found.stopped}. The timeline ends at {clock(found.seconds)}.'
    return (note(ends) if found.stopped else '') + table + image(drawn, 'scores over time')


def image(png: bytes, what: str = '') -> str:
    """A picture, and what it shows."""
    code = base64.b64encode(png).decode()
    return f'<img style="width:100%" alt="{text(what)}" src="data:image/png;base64,{code}">'
