"""Which of several probes is best, and that this was chosen where it is measured."""

from mmaction.registry import METRICS
from mmengine.logging import print_log

from .multi_task import MultiTaskMetric

BEST = 'best_of_probes'
CHOSEN = (
    'The best of {count} probes, {name}, was chosen on the {videos} videos it is measured on, by '
    "{key}, as in V-JEPA 2's frozen evaluation: the figure is a little too good for new videos. "
    'All {count}: from {worst:.4f} to {best:.4f}, mean {mean:.4f}.'
)


@METRICS.register_module()
class ProbesMetric(MultiTaskMetric):
    """Results of every probe that `ProbesHead` predicts with, and of the best one among them.

    ``best_of_probes/<name>`` are all results of the probe whose ``key`` is highest **on these
    videos**, the figure that V-JEPA 2 reports; ``<probe>/<key>`` is each probe's own. A line says
    which it is and how far apart they are. For a figure without that choice, validate on
    other videos and read the named probe's own result in the test.

    Args:
        key: the result that chooses.
        options: of `VideoAccMetric`, by which each probe is measured.
    """

    best, said = BEST, CHOSEN

    def __init__(self, key: str = 'acc/top1', **options) -> None:
        super().__init__({})
        self.key, self.metric = key, dict(type='mmstadapter.VideoAccMetric', **options)
        METRICS.build(self.metric)  # wrong options are refused before training

    def process(self, data_batch, data_samples) -> None:
        """Note every probe's part of the samples."""
        for sample in data_samples:
            for name in sample.get('tasks', {}):
                if name not in self.metrics:
                    self.metrics[name] = METRICS.build(self.metric)
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[dict[str, dict]]) -> dict[str, float]:
        """The best probe's results, then each probe's own, over the samples of all processes."""
        found = super().compute_metrics(results)
        ranked = {n: found[f'{n}/{self.key}'] for n in self.metrics if f'{n}/{self.key}' in found}
        if not ranked:
            raise ValueError(
                f'ProbesMetric: key {self.key!r} is none of the results {list(found)}. It needs '
                'the predictions of a ProbesHead or SweepHead.'
            )
        best = max(ranked, key=lambda name: ranked[name])  # of equal ones the first
        values = list(ranked.values())
        said = dict(count=len(values), name=best, videos=len(results), key=self.key)
        said |= dict(worst=min(values), best=max(values), mean=sum(values) / len(values))
        print_log(self.said.format(**said), 'current')
        of_best = {
            f'{self.best}/{name.removeprefix(f"{best}/")}': value
            for name, value in found.items()
            if name.startswith(f'{best}/')
        }
        return of_best | {f'{name}/{self.key}': value for name, value in ranked.items()}


@METRICS.register_module()
class SweepMetric(ProbesMetric):
    """The same of every branch of a sweep (`SweepHead`); the best is ``best_of_sweep/<name>``."""

    best = 'best_of_sweep'
    said = (
        'The best of {count} runs, {name}, was chosen on the {videos} videos it is measured on, by '
        '{key}: the figure is a little too good for new videos. All {count}: from {worst:.4f} to '
        '{best:.4f}, mean {mean:.4f}.'
    )
