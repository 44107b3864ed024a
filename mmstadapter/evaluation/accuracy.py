"""Accuracy in which a test video that could not be decoded counts as wrong, everywhere."""

from collections.abc import Sequence

import numpy as np
from mmaction.evaluation import AccMetric, mean_class_accuracy
from mmaction.registry import METRICS


@METRICS.register_module()
class VideoAccMetric(AccMetric):
    """MMAction2's AccMetric for ``mmstadapter.VideoDataset``.

    Top-k never matches the label -1 of such a sample, but MMAction2's mean class accuracy
    takes -1 for the highest label, and so may count it as right. Here it is a miss of its
    own class, ``lost_label``. With all videos readable the results are AccMetric's.
    """

    def process(self, data_batch: Sequence, data_samples: Sequence[dict]) -> None:
        """Note scores and label of each sample; a lost label as -2 - label."""
        before = len(self.results)
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[before:], data_samples, strict=True):
            lost = sample.get('lost_label')
            if isinstance(lost, int) and lost >= 0:
                result['label'] = -2 - lost

    def calculate(self, preds: list[np.ndarray], labels: list) -> dict:
        """The metrics by name, mean class accuracy with misses for lost samples."""
        lost = [isinstance(label, int) and label < -1 for label in labels]
        if not any(lost):
            return super().calculate(preds, labels)
        kept = [-1 if gone else label for gone, label in zip(lost, labels, strict=True)]
        results = super().calculate(preds, kept)
        if 'mean1' in results:
            own = [-2 - label if gone else label for gone, label in zip(lost, labels, strict=True)]
            pairs = zip(preds, own, lost, strict=True)
            scores = [_miss(pred, label) if gone else pred for pred, label, gone in pairs]
            results['mean1'] = mean_class_accuracy(scores, own)
        return results


def _miss(scores: np.ndarray, label: int) -> np.ndarray:
    """Scores with the label last."""
    scores = scores.copy()
    scores[label] = -np.inf
    return scores
