"""How well classes are recognised that were trained on, and others by their names."""

from collections.abc import Sequence

import numpy as np
from mmaction.registry import METRICS

from ..base_classes import chosen_classes
from .accuracy import VideoAccMetric


@METRICS.register_module()
class BaseToNovelMetric(VideoAccMetric):
    """Top-1 of base and of novel classes, each among its own kind, and their harmonic mean.

    As in CoCoOp and ViFi-CLIP: a video of a novel class is right if of all novel classes its own
    has the highest score, whatever the base classes have. Scores must be averaged before the
    softmax over all classes (``average_clips='score'`` of the head), or of one view. A video that
    could not be decoded is wrong.

    Args:
        base_classes: ``'half'`` or class numbers, see `chosen_classes`.
        num_classes: of both kinds.
        kwargs: as for `VideoAccMetric`.
    """

    def __init__(
        self, base_classes: str | Sequence[int], num_classes: int, *args, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        base = chosen_classes(base_classes, num_classes)
        self.kinds = dict(base=base, novel=sorted({*range(num_classes)} - {*base}))

    def calculate(self, preds: list[np.ndarray], labels: list) -> dict:
        """Base, novel and harmonic mean, then the usual figures over all classes.

        Raises:
            ValueError: if there is no video of either kind.
        """
        own = [int(np.asarray(label).reshape(-1)[0]) for label in labels]
        found = {kind: self._accuracy(kind, preds, own) for kind in self.kinds}
        base, novel = found.values()
        harmonic = 2 * base * novel / (base + novel) if base + novel else 0.0
        return found | dict(harmonic=harmonic) | super().calculate(preds, labels)

    def _accuracy(self, kind: str, preds: list[np.ndarray], labels: list[int]) -> float:
        classes = self.kinds[kind]
        pairs = zip(preds, labels, strict=True)
        mine = [(pred, n) for pred, n in pairs if (n if n >= 0 else -2 - n) in classes]
        if not mine:
            raise ValueError(
                f'BaseToNovelMetric: no video of a {kind} class was tested. Test on lists with '
                'all classes.'
            )
        right = [classes[int(np.argmax(pred[classes]))] == label for pred, label in mine]
        return float(np.mean(right))
