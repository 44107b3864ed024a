"""A timeline as a picture: scores over time, and the segments below."""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from .segments import bounds_of

if TYPE_CHECKING:
    from .over_time import Timeline

FORMATS = ('.png', '.jpg', '.svg', '.pdf')
MOST = 8  # classes drawn


def picture(found: 'Timeline', kind: str) -> bytes:
    """Draw it; the classes with segments, else the highest ones.

    Args:
        found: a timeline.
        kind: ``'png'``, ``'jpg'``, ``'svg'`` or ``'pdf'``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..apis.results import font_families

    drawn = classes_drawn(found)
    figure = Figure(figsize=(11, 3.2 + 0.3 * len(drawn)), layout='constrained')
    FigureCanvasAgg(figure)
    heights = [3.0, 0.4 + 0.3 * len(drawn)]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    bounds = bounds_of(found.windows, found.seconds)
    fonts = font_families()
    for place, index in enumerate(drawn):
        colour = f'C{place}'
        above.stairs(found.scores[:, index], bounds, color=colour, linewidth=1.5, baseline=None)
        for segment in found.segments:
            if segment.label == found.labels[index]:
                below.barh(place, segment.end - segment.start, 0.7, segment.start, color=colour)
    for name in ('high', 'low'):
        above.axhline(found.thresholds[name], color='grey', linewidth=0.7, linestyle='--')
        above.annotate(
            name, (1.0, found.thresholds[name]), (3, 0), xycoords=('axes fraction', 'data'),
            textcoords='offset points', color='grey', fontsize=8, va='center',
        )  # fmt: skip
    above.set(ylim=(0, 1.02), ylabel='score')
    names = [found.labels[index].replace('$', r'\$') for index in drawn]
    below.set_yticks(range(len(drawn)), names, fontfamily=fonts)
    below.set(xlim=(0, found.seconds), ylim=(len(drawn) - 0.5, -0.5), xlabel='seconds')
    content = io.BytesIO()
    with warnings.catch_warnings():  # boxes where no font has a sign; the other files have it
        warnings.filterwarnings('ignore', 'Glyph .* missing')
        figure.savefig(content, format=kind, dpi=110)
    return content.getvalue()


def classes_drawn(found: 'Timeline') -> list[int]:
    """The classes with the longest segments, in order of their first; or with the best scores."""
    seconds = {s.label: 0.0 for s in found.segments}
    for segment in found.segments:
        seconds[segment.label] += segment.end - segment.start
    most = sorted(seconds, key=lambda label: -seconds[label])[:MOST]
    if most:
        return [found.labels.index(label) for label in seconds if label in most]
    return np.argsort(-found.scores.max(axis=0), kind='stable')[:3].tolist()
