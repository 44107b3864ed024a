"""What an adapter says of a dropped video, over its whole length, and where it looks."""

import io
from pathlib import Path
from typing import Any

from ..apis.predictor import Predictor
from ..datasets.readers import open_video
from ..streams import Timeline, timeline

WINDOW, STRIDE, MOST = 4.0, 1.0, 300  # seconds; strides of a video, which grow for longer ones


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

    def timeline(self, path: Path) -> Timeline:
        """What `mmstadapter timeline` says of it, in windows of about four seconds.

        Raises:
            VideoReadError: if it cannot be decoded.
        """
        longer = max(1.0, float(open_video(str(path)).times[-1]) / (STRIDE * MOST))
        return timeline(self.predict, path, WINDOW * longer, STRIDE * longer)

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
