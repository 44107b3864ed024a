"""What an adapter says of a dropped video, over its whole length, and where it looks."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..apis.predictor import Predictor
from ..datasets.readers import open_video
from ..search.windows import cut

WINDOW, MOST = 4.0, 300  # seconds of a window; windows of a video, which grow for longer ones
FRAMES = 64  # of a window that are decoded


class Stretch(NamedTuple):
    """A part of a video with its best label."""

    start: float
    end: float
    label: str
    score: float


class Labeller:
    """An adapter file behind the page.

    Args:
        adapter: what `mmstadapter fit` or `mmstadapter publish` wrote.
        device: as for :class:`Predictor`.
    """

    def __init__(self, adapter: str | Path, device: str | None = None) -> None:
        self.adapter, self.device = adapter, device
        self.predict = Predictor(adapter, device=device)

    def whole(self, path: Path) -> dict[str, Any]:
        """What :class:`Predictor` says of the video as one clip: its five best labels."""
        return self.predict(path, topk=5)[0]

    def timeline(self, path: Path) -> Iterator[Stretch]:
        """The best label of each window of about four seconds, labelled as a video of its own.

        Raises:
            VideoReadError: if it cannot be decoded.
        """
        video = open_video(str(path))
        times, end = video.times[:-1], float(video.times[-1])
        for first, count, start, stop in cut(times, end, max(WINDOW, end / MOST)):
            numbers = np.unique(np.linspace(first, first + count - 1, FRAMES).round().astype(int))
            rate = len(numbers) / max(stop - start, 1e-6)
            found = self.predict(np.stack(video.read(numbers)), topk=1, fps=rate)[0]
            yield Stretch(start, stop, found['label'], found['scores'][0])

    def attention(self, path: Path) -> bytes:
        """Where the model looks, before and after adaptation, as PNG; see `mmstadapter attention`.

        Raises:
            TypeError, ValueError, RuntimeError: for models that have no attention to show.
        """
        from ..analysis.attention import image_model, picture, read_adapter, read_clip, see

        cfg, model = read_adapter(str(self.adapter), None, self.device)
        seen = see(model, image_model(model, cfg), read_clip(cfg, path, None), None)
        data = io.BytesIO()
        picture(seen).savefig(data, format='png')
        return data.getvalue()
