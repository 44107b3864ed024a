"""A metric a task, for models that answer several at once."""

from collections.abc import Sequence
from typing import Any

from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric


@METRICS.register_module()
class MultiTaskMetric(BaseMetric):
    """Hands each task's labels and scores, as `MultiTaskHead` gives them, to a metric of its own.

    Args:
        tasks: task -> config of its metric. Results are named ``<task>/<name>``.
    """

    # Not called `metrics`: MMEngine takes a dict with that entry for an evaluator.
    def __init__(self, tasks: dict[str, dict]) -> None:
        super().__init__(prefix='tasks')
        self.metrics: dict[str, BaseMetric] = {n: METRICS.build(m) for n, m in tasks.items()}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Let every metric note its part of the samples."""
        for name, metric in self.metrics.items():
            metric.process(data_batch, [_own(sample, name) for sample in data_samples])

    def evaluate(self, size: int) -> dict:
        """All metrics, over all processes."""
        found: dict[str, float] = {}
        for name, metric in self.metrics.items():
            found |= {f'{name}/{key}': value for key, value in metric.evaluate(size).items()}
        return found

    def compute_metrics(self, results: list) -> dict:
        """Left to the tasks' metrics; see `evaluate`."""
        return {}


def _own(sample: dict, task: str) -> dict:
    """The sample of a task, as a dict."""
    own = sample['tasks'][task]
    return own if isinstance(own, dict) else own.to_dict()
