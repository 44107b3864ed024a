"""Hits, moments and timelines as pieces of HTML that hold their pictures; all names escaped."""

import base64
import html
from collections.abc import Sequence
from typing import Any

from ..printing import shown
from ..search.choosing import Hit
from ..search.printing import clock
from .labelling import Stretch

COLOURS = ('#4e79a7', '#f28e2b', '#59a14f', '#e15759', '#b07aa1', '#76b7b2', '#edc948', '#9c755f')


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


def timeline(stretches: Sequence[Stretch]) -> str:
    """Windows as a bar in the colours of their labels; neighbours of one label as rows."""
    names = list(dict.fromkeys(stretch.label for stretch in stretches))
    colour = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    bar = ''.join(
        f'<div title="{clock(s.start)} {text(s.label)} {s.score:.2f}" style="flex:'
        f'{s.end - s.start:.3f};background:{colour[s.label]};opacity:{0.3 + 0.7 * s.score:.2f}">'
        '</div>'
        for s in stretches
    )
    rows = ''.join(
        f'<tr><td>{clock(s.start)}</td><td>{clock(s.end)}</td><td><span style="color:'
        f'{colour[s.label]}">&#9632;</span> {text(s.label)}</td><td>{s.score:.3f}</td></tr>'
        for s in joined(stretches)
    )
    return f'<div style="display:flex;height:2.2em">{bar}</div><table>{rows}</table>'


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Neighbours with one label as one, with their best score."""
    found: list[Stretch] = []
    for stretch in stretches:
        if found and found[-1].label == stretch.label:
            best = max(found[-1].score, stretch.score)
            found[-1] = Stretch(found[-1].start, stretch.end, stretch.label, best)
        else:
            found.append(stretch)
    return found


def image(png: bytes) -> str:
    """A picture."""
    return f'<img style="width:100%" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
