"""Text-video retrieval as a metric of MMEngine's evaluator."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmaction.registry import METRICS
from mmengine.dist import collect_results, is_main_process
from mmengine.evaluator import BaseMetric
from torch import Tensor

from .feature_metrics import feature_metrics
from .features import RetrievalFeatures, some
from .ranking import GALLERIES, TIES
from .recall import CUTOFFS
from .spreading import ERRORS, spread_matrices, told_by_first

COUNTS = ('/queries', '/tied')  # ends of names of what is counted, not averaged


@METRICS.register_module()
class TextVideoMetric(BaseMetric):
    """Recall and ranks in both directions, ``retrieval/t2v/R1`` ... ``retrieval/v2t/MnR``.

    Takes what a `Retriever` predicts: a data sample a video, with ``video_id``, ``captions``
    (all of the video), ``video_features`` (one row) and ``text_features`` (a row a caption);
    one with ``lost=True``, whose video could not be decoded, counts as never found.
    Over several processes each video counts once, by its id, however the sampler pads, and each
    process compares its share of the captions with all videos, with the figures of one process.

    Args:
        ties: ``'expected'``, ``'optimistic'`` or ``'pessimistic'``, see `Ranks`.
        gallery: what videos are ranked against: ``'videos'`` (released protocol: a video's
            captions are one item, by the best of them) or ``'captions'``.
        cutoffs: the K of recall at K.
        tolerance: scores that differ by no more count as tied.
        bootstrap: replicates for 95 % intervals; 0 for none.
        dsl: also report dual softmax, under ``dsl_with_all_queries/``.
        memory: bound in bytes on the blocks of the similarity matrix.
        device: where it is computed; each process's GPU if there is one, else the CPU.
        galleries: a regular expression; videos in whose ids it finds the same (in its brackets,
            or in all) are ranked among themselves, and figures are means over these galleries,
            counts of queries sums. Without it all videos are one. Not with ``bootstrap``.
        save: a file for the features, for ``mmstadapter retrieval-metrics`` and as a bank of
            QB-Norm.

    Raises:
        ValueError: if an option is unknown; from ``evaluate`` on every process, if ids repeat in
            the data set, a video lacks captions or features, or a feature is NaN.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        ties: str = 'expected',
        gallery: str = 'videos',
        cutoffs: Sequence[int] = CUTOFFS,
        tolerance: float = 0.0,
        bootstrap: int = 0,
        dsl: bool = False,
        memory: int = 256 * 2**20,
        device: str | None = None,
        galleries: str | None = None,
        save: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        for name, value, known in (('ties', ties, TIES), ('gallery', gallery, GALLERIES)):
            if value not in known:
                raise ValueError(f'TextVideoMetric: {name} must be one of {known}, got {value!r}.')
        if galleries and bootstrap:
            raise ValueError(
                'TextVideoMetric: intervals are of one gallery, the mean of several ones is no '
                'interval of their mean. Set bootstrap=0, or leave out galleries.'
            )
        self.options: dict[str, Any] = dict(
            ties=ties,
            gallery=gallery,
            cutoffs=tuple(cutoffs),
            tolerance=tolerance,
            bootstrap=bootstrap,
        )
        self.dsl = dsl
        self.memory = memory
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.galleries = re.compile(galleries or '^')  # which finds the same in all
        self.save = save

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep id, captions and features of each video, on the CPU."""
        for sample in data_samples:
            lacking = [
                key
                for key in ('video_id', 'captions', 'video_features', 'text_features')
                if key not in sample
            ]
            if lacking:
                raise ValueError(
                    f'TextVideoMetric: video {sample.get("video_id", "without id")!r} lacks '
                    f'{", ".join(lacking)}. A test data set gives video_id and captions, a '
                    "Retriever in mode 'predict' the features."
                )
            # Copies: pickled for another process, a row of a batch would take the batch along.
            video, text = (
                {k: v.detach().to('cpu', copy=True) for k, v in sample[f'{side}_features'].items()}
                for side in ('video', 'text')
            )
            name, captions = str(sample['video_id']), list(sample['captions'])
            self.results.append((name, captions, video, text, bool(sample.get('lost', False))))

    def evaluate(self, size: int) -> dict:
        """Metrics of the whole data set of `size` videos, the same on every process."""
        results = collect_results(  # all of them: duplicates are told by their ids
            self.results, sys.maxsize, self.collect_device, **self._collect_dir()
        )
        self.results.clear()
        parts = told_by_first(self._on_first(lambda: self.parts(each_once(results, size))))
        matrices = spread_matrices(
            parts, self.memory, self.device, self.collect_device, self.collect_dir
        )
        metrics = told_by_first(self._on_first(lambda: self.figures(parts, matrices)))
        prefix = f'{self.prefix}/' if self.prefix else ''
        return {prefix + key: value for key, value in metrics.items()}

    def _on_first(self, work: Callable[[], Any]) -> Any:
        """What rank 0 makes, or its error: on one process alone the others would wait for ever."""
        if not is_main_process():
            return None
        try:
            return work()
        except ERRORS as error:
            return error

    def _collect_dir(self) -> dict:
        return dict(tmpdir=self.collect_dir) if self.collect_device == 'cpu' else {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics of videos that are all different, as `process` keeps them; by one process."""
        parts = self.parts(results)
        return self.figures(parts, [None] * len(parts))

    def parts(self, results: list) -> list[RetrievalFeatures]:
        """The features of each gallery; written to a file if one is asked for."""
        if self.save:
            join(results).save(self.save)
        parts: dict[object, list] = {}
        for result in results:
            found = self.galleries.search(result[0])
            parts.setdefault(found and (found.groups() or found[0]), []).append(result)
        return [join(part) for part in parts.values()]

    def figures(
        self, parts: Sequence[RetrievalFeatures], matrices: Sequence[Tensor | None]
    ) -> dict[str, float]:
        """Metrics of all galleries, of their similarities where those are there."""
        options = dict(dsl=self.dsl, memory=self.memory, device=self.device, **self.options)
        figures = [
            feature_metrics(part, sim=matrix, **options)
            for part, matrix in zip(parts, matrices, strict=True)
        ]
        return {key: _together(key, [f[key] for f in figures]) for key in figures[0]}


def _together(key: str, figures: Sequence[float]) -> float:
    """One figure of several galleries."""
    total = sum(figures)
    return total if key.endswith(COUNTS) else total / len(figures)


def each_once(results: list[tuple], size: int) -> list[tuple]:
    """The results without what a sampler repeated to give each process equally many.

    Raises:
        ValueError: if there are fewer ids than videos in the data set, so that two videos have
            the same one, or more.
    """
    videos: dict[str, tuple] = {}
    for result in results:
        videos.setdefault(result[0], result)
    if len(videos) != size:
        seen: dict[str, int] = {}
        for result in results:
            seen[result[0]] = seen.get(result[0], 0) + 1
        twice = [name for name, times in seen.items() if times > 1]
        raise ValueError(
            f'TextVideoMetric: {len(videos)} different video ids for a data set of {size} items. '
            + (f'More than once: {some(twice)}. ' if twice else '')
            + 'Give every video its own id, and one item with all of its captions.'
        )
    return list(videos.values())


def join(results: Sequence[tuple]) -> RetrievalFeatures:
    """One set of features from those of each video.

    Raises:
        ValueError: as `RetrievalFeatures`; if a video has not one row, or not as many rows of
            text features as captions.
    """
    silent = [name for name, captions, *_ in results if not captions]
    if silent:
        raise ValueError(
            f'retrieval: videos without a caption: {some(silent)}. Leave them out of the test '
            'list, or give each at least one caption.'
        )
    for name, captions, video, text, _ in results:
        rows = {len(v) for v in video.values()}, {len(v) for v in text.values()}
        if rows != ({1}, {len(captions)}):
            raise ValueError(
                f'retrieval: video {name!r} with {len(captions)} captions needs 1 row of video '
                f'features and {len(captions)} of text features, got {rows[0]} and {rows[1]}.'
            )
    counts = torch.tensor([len(captions) for _, captions, *_ in results])
    return RetrievalFeatures(
        text=_concatenate([text for *_, text, _ in results]),
        video=_concatenate([video for *_, video, _, _ in results]),
        owner=torch.arange(len(results)).repeat_interleave(counts),
        video_ids=[name for name, *_ in results],
        lost=torch.tensor([lost for *_, lost in results]),
        captions=[caption for _, captions, *_ in results for caption in captions],
    )


def _concatenate(features: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate along the first axis.

    Raises:
        ValueError: if kinds or sizes differ between videos.
    """
    kinds = {tuple((k, tuple(v.shape[1:])) for k, v in sorted(f.items())) for f in features}
    if len(kinds) > 1:
        raise ValueError(
            f'retrieval: features of one kind and size are needed, got {sorted(kinds)}. Test with '
            'one number of frames and of words.'
        )
    return {key: torch.cat([f[key] for f in features]) for key in features[0]}
