"""A metric a task, for models that answer several at once."""

from collections.abc import Sequence
from typing import Any

from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor


@METRICS.register_module()
class MultiTaskMetric(BaseMetric):
    """Hands each task's labels and scores, as `MultiTaskHead` gives them, to a metric of its own.

    A video without a label of a task does not count in that task's results. One that could
    not be read counts as wrong in the tasks it has labels of.

    Args:
        tasks: task -> config of its metric. Results are named ``<task>/<name>``.
    """

    # Not called `metrics`: MMEngine takes a dict with that entry for an evaluator.
    def __init__(self, tasks: dict[str, dict]) -> None:
        super().__init__(prefix='tasks')
        self.prefix = None  # the tasks' names stand there; MMEngine warns of none at the start
        self.metrics: dict[str, BaseMetric] = {n: METRICS.build(m) for n, m in tasks.items()}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note every task's part of the samples."""
        for sample in data_samples:
            self.results.append({name: _own(sample, name) for name in self.metrics})

    def compute_metrics(self, results: list[dict[str, dict]]) -> dict[str, float]:
        """All metrics, over the samples of all processes."""
        found: dict[str, float] = {}
        for name, metric in self.metrics.items():
            samples = [result[name] for result in results if _is_labelled(result[name])]
            if not samples:
                print_log(f'MultiTaskMetric: no video has a label of {name}.', 'current', 30)
                continue
            metric.results.clear()
            metric.process(None, samples)
            for key, value in metric.compute_metrics(metric.results).items():
                found['/'.join(filter(None, (name, metric.prefix, key)))] = value
        return found


def _own(sample: dict, task: str) -> dict:
    """The sample of a task, as a dict on the CPU."""
    own = sample['tasks'][task]
    own = own if isinstance(own, dict) else own.to_dict()
    return {name: v.cpu() if isinstance(v, Tensor) else v for name, v in own.items()}


def _is_labelled(own: dict) -> bool:
    """Whether a task's sample has a label, be it that of a video that could not be read."""
    return bool(own['gt_label'] >= 0) or own.get('lost_label', -1) >= 0
