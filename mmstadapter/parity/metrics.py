"""Cases of retrieval metrics: ranks, released figures, DSL and QB-Norm."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mmstadapter import dual_softmax, querybank_norm, text_to_video_ranks, video_to_text_ranks
from mmstadapter.evaluation.ranking import Ranks, caption_groups, captions_of_videos
from mmstadapter.evaluation.recall import summarise
from mmstadapter.evaluation.released_ranking import (
    released_compute_metrics,
    released_text_to_video,
)

from .case import Line

FIGURE = 1e-5  # the released code has some per cents in float32
FORMULA = 1e-10  # relative, both sides in float64
# our names of figures -> theirs
NAMES = dict(R1='R1', R5='R5', R10='R10', MdR='MedianR', MnR='MeanR')


class MetricsCase:
    """Figures of one similarity matrix (D_metrics).

    Where the released code is wrong on ties its figures are compared with
    `released_compute_metrics`, which counts as it does; what `retrieval_metrics` reports is
    compared with the ranks from the definition.

    Args:
        info: the case's description, from its json.
        tensors: the case's numbers.
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors
        self.sim, self.owner = tensors['sim'], tensors['gt_video']

    def lines(self) -> Iterator[Line]:
        """Every comparison of the case."""
        ranks = self.ranks(self.sim, self.sim.T)
        yield from self._definition_lines(ranks)
        yield from self._released_lines(ranks)
        if 'v2t_sim' in self.tensors:
            groups = caption_groups(self.sim, captions_of_videos(self.owner, self.sim.shape[1]))
            yield _far('v2t_sim', groups.T, self.tensors['v2t_sim'], 0.0)
        yield from self._dsl_lines()
        yield from self._qb_norm_lines()

    def ranks(self, text_video: Tensor, video_text: Tensor) -> dict[str, Ranks]:
        """Ranks of both directions."""
        return dict(
            t2v=text_to_video_ranks(text_video, self.owner),
            v2t=video_to_text_ranks(video_text.T, self.owner),
        )

    def _definition_lines(self, ranks: dict[str, Ranks]) -> Iterator[Line]:
        for way, rank in ranks.items():
            yield _far(f'rank_{way}_strict', rank.better, self.tensors[f'rank_{way}_strict'], 0.0)
            last = rank.better + rank.tied
            yield _far(f'rank_{way}_last', last, self.tensors[f'rank_{way}_last'], 0.0)
            tied = summarise(rank)['tied'] - self.info['rows_with_ties'][way]
            yield Line(f'rows_with_ties {way}', abs(tied), 0.0)
            theirs = self.info['from_definition'][way]
            yield from self._figure_lines('from_definition', way, rank, theirs)

    def _released_lines(self, ranks: dict[str, Ranks]) -> Iterator[Line]:
        official = self.info['official']
        if self.info['multi_sentence']:
            low, high = (
                released_text_to_video(self.sim, self.owner, ties)
                for ties in ('pessimistic', 'optimistic')
            )
            for name in low:  # equal without ties; with ties an unstable sort chooses
                yield _outside(f'official t2v {name}', official['t2v'][name], low[name], high[name])
        else:
            yield from self._counted_lines('t2v', ranks['t2v'])
        yield from self._counted_lines('v2t', ranks['v2t'])

    def _counted_lines(self, way: str, rank: Ranks) -> Iterator[Line]:
        """The released ``compute_metrics``, with every position it counts."""
        official = self.info['official'][way]
        ours, positions = released_compute_metrics(rank)
        theirs = torch.tensor(official['cols'])
        yield _far(f'official {way} cols', positions.sort()[0], theirs.sort()[0], 0.0)
        for name, value in ours.items():
            yield Line(f'official {way} {name}', abs(value - official[name]), FIGURE)

    def _dsl_lines(self) -> Iterator[Line]:
        stored = self.info['from_published_formula']['DSL']
        scores = [dual_softmax(sim, stored['temp']) for sim in (self.sim, self.sim.T)]
        for (way, rank), score in zip(self.ranks(*scores).items(), scores, strict=True):
            yield _far(f'dsl_{way}', score, self.tensors[f'dsl_{way}'], FORMULA)
            theirs = self.tensors[f'dsl_rank_{way}_strict']
            yield _far(f'dsl_rank_{way}_strict', rank.better, theirs, 0.0)
            yield from self._figure_lines('DSL', way, rank, stored[way])

    def _qb_norm_lines(self) -> Iterator[Line]:
        stored = self.info['from_published_formula']['QBNorm']
        found = [
            querybank_norm(sim, self.tensors[f'bank_{way}'], stored['beta'], stored['k'])
            for way, sim in (('t2v', self.sim), ('v2t', self.sim.T))
        ]
        ranks = self.ranks(found[0][0], found[1][0])
        for (way, rank), (score, rows) in zip(ranks.items(), found, strict=True):
            yield _far(f'qbnorm_{way}', score, self.tensors[f'qbnorm_{way}'], FORMULA)
            yield _far(f'qbnorm_{way}_rows', rows, self.tensors[f'qbnorm_{way}_rows'], 0.0)
            theirs = self.tensors[f'qbnorm_rank_{way}_strict']
            yield _far(f'qbnorm_rank_{way}_strict', rank.better, theirs, 0.0)
            yield from self._figure_lines('QB-Norm', way, rank, stored[way])

    def _figure_lines(
        self, name: str, way: str, rank: Ranks, theirs: dict[str, float]
    ) -> Iterator[Line]:
        """Recall, median and mean under the optimistic rule, which the reference uses."""
        ours = summarise(rank, 'optimistic')
        if way == 't2v' and self.info['multi_sentence']:  # the lower of the two middle ranks
            ours['MdR'] = rank.better.median().item() + 1
        for own, other in NAMES.items():
            yield Line(f'{name} {way} {other}', abs(ours[own] - theirs[other]), FIGURE)


def _far(name: str, ours: Tensor, theirs: Tensor, tolerance: float) -> Line:
    """The largest difference, relative to the largest value of theirs if that exceeds 1."""
    if ours.shape != theirs.shape:
        return Line(f'{name} {tuple(ours.shape)} is not {tuple(theirs.shape)}', float('inf'), 0.0)
    difference = (ours.double() - theirs.double()).abs().max().item()
    if difference != difference:
        return Line(name, float('inf'), tolerance)
    return Line(name, difference, tolerance * max(1.0, theirs.double().abs().max().item()))


def _outside(name: str, value: float, one: float, other: float) -> Line:
    """How far a value lies outside the range between two others."""
    low, high = min(one, other), max(one, other)
    return Line(name, max(low - value, value - high, 0.0), FIGURE)
