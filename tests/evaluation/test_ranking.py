"""Ranks, recall and their intervals, from the definition and from the authors' numbers."""

import itertools

import numpy as np
import pytest
import torch

from mmstadapter import (
    Ranks,
    bootstrap_intervals,
    retrieval_metrics,
    text_to_video_ranks,
    video_to_text_ranks,
)
from mmstadapter.evaluation import ranking
from mmstadapter.evaluation.ranking import GALLERIES, TIES

OWNER = torch.tensor([0, 0, 1, 2, 2, 2, 3])


def grid(seed: int, owner: torch.Tensor = OWNER) -> torch.Tensor:
    """Scores of seven captions and four videos on a coarse grid, so that many are equal."""
    generator = torch.Generator().manual_seed(seed)
    videos = int(owner.max()) + 1
    return torch.randint(0, 4, (len(owner), videos), generator=generator).float() / 4


def orders(scores: np.ndarray) -> list[tuple[int, ...]]:
    """All orders of the items, best first, that the scores allow."""
    levels = [np.flatnonzero(scores == value) for value in sorted(set(scores), reverse=True)]
    return [
        tuple(itertools.chain(*order))
        for order in itertools.product(*[list(itertools.permutations(level)) for level in levels])
    ]


def by_enumeration(scores, right: set[int], k: int) -> tuple[float, float, int, int]:
    """Recall and mean position over all orders, and the extreme positions."""
    positions = [
        next(i for i, item in enumerate(order) if item in right) for order in orders(scores)
    ]
    recall = np.mean([position < k for position in positions])
    return recall, np.mean(positions), min(positions), max(positions)


def galleries(sim, gallery: str):
    """Of each video: the scores it ranks and which of them are right."""
    for video in range(sim.shape[1]):
        if gallery == 'captions':
            yield sim[:, video].numpy(), set((OWNER == video).nonzero()[:, 0].tolist())
        else:
            best = [sim[OWNER == other, video].max().item() for other in range(sim.shape[1])]
            yield np.array(best), {video}


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('direction', ['t2v', *GALLERIES])
def test_ties_are_as_if_every_order_of_equals_were_equally_likely(seed, direction):
    sim = grid(seed)
    if direction == 't2v':
        ranks = text_to_video_ranks(sim, OWNER)
        queries = [(row.numpy(), {int(own)}) for row, own in zip(sim, OWNER, strict=True)]
    else:
        ranks = video_to_text_ranks(sim, OWNER, direction)
        queries = list(galleries(sim, direction))
    assert ranks.tied.any()
    for k in (1, 2, 3, 5, 99):
        for q, (scores, right) in enumerate(queries):
            recall, mean, first, last = by_enumeration(scores, right, k)
            assert ranks.hits(k)[q].item() == pytest.approx(recall)
            assert ranks.positions()[q].item() == pytest.approx(mean)
            assert ranks.positions('optimistic')[q] == first
            assert ranks.hits(k, 'optimistic')[q] == (first < k)
            if direction != 'captions':  # equal own captions may share the last places
                assert ranks.positions('pessimistic')[q] == last
                assert ranks.hits(k, 'pessimistic')[q] == (last < k)


def test_pessimistic_puts_every_wrong_caption_before_equal_own_ones():
    sim, owner = torch.zeros(5, 2), torch.tensor([0, 0, 0, 1, 1])
    ranks = video_to_text_ranks(sim, owner, 'captions')
    assert ranks.positions('pessimistic').tolist() == [2, 3]
    assert ranks.positions('optimistic').tolist() == [0, 0]
    assert ranks.positions().tolist() == [2 / 4, 3 / 3]


@pytest.mark.parametrize('ties, first', [('optimistic', 100), ('expected', 1), ('pessimistic', 0)])
def test_a_model_that_scores_everything_alike(ties, first):
    found = retrieval_metrics(torch.zeros(100, 100), ties=ties)
    assert found['t2v/R1'] == found['v2t/R1'] == pytest.approx(first)
    assert found['t2v/R50'] == pytest.approx(50 if ties == 'expected' else first)
    assert found['t2v/MnR'] == {'optimistic': 1, 'expected': 50.5, 'pessimistic': 100}[ties]
    assert found['t2v/tied'] == found['t2v/queries'] == 100


@pytest.mark.parametrize('ties', TIES)
def test_one_video_is_always_found_and_recall_beyond_the_gallery_is_certain(ties):
    found = retrieval_metrics(torch.tensor([[0.3], [0.1]]), torch.tensor([0, 0]), ties)
    assert {v for k, v in found.items() if '/R' in k} == {100}
    assert found['t2v/MdR'] == found['v2t/MnR'] == 1
    found = retrieval_metrics(grid(0), OWNER, ties, cutoffs=(7, 10**9))
    assert found['t2v/R1000000000'] == found['v2t/R7'] == 100


def test_figures_without_ties_by_hand():
    sim = torch.tensor([[0.9, 0.1, 0.2], [0.4, 0.8, 0.5], [0.7, 0.6, 0.3], [0.0, 0.2, 0.1]])
    owner = torch.tensor([0, 1, 2, 2])
    found = retrieval_metrics(sim, owner, cutoffs=(1, 2))
    # ranks of the captions: 1, 1, 3, 2; of the videos among the best captions: 1, 1, 2
    assert found['t2v/R1'] == 50 and found['t2v/R2'] == 75
    assert found['t2v/MdR'] == 1.5 and found['t2v/MnR'] == 1.75
    assert found['v2t/R1'] == pytest.approx(200 / 3) and found['v2t/R2'] == 100
    assert (found['t2v/queries'], found['v2t/queries']) == (4, 3)
    # among all captions video 2 finds its own third: 0.5 of video 1, then 0.3, then its 0.1
    captions = retrieval_metrics(sim, owner, gallery='captions', cutoffs=(1, 2))
    assert captions['v2t/R1'] == pytest.approx(200 / 3) and captions['v2t/MnR'] == pytest.approx(
        4 / 3
    )


def test_own_captions_are_not_in_each_others_way():
    sim = torch.tensor([[0.9, 0.0], [0.8, 0.1], [0.85, 0.7]])
    ranks = video_to_text_ranks(sim, torch.tensor([0, 0, 1]), 'captions')
    assert ranks.better.tolist() == [0, 0]


def test_galleries_agree_on_the_first_place_and_captions_are_harder_below():
    generator = torch.Generator().manual_seed(1)
    owner = torch.arange(40).repeat_interleave(5)
    sim = torch.randn(200, 40, generator=generator)
    sim[torch.arange(200), owner] += 1.5
    videos, captions = (retrieval_metrics(sim, owner, gallery=g) for g in GALLERIES)
    assert captions['v2t/R1'] == videos['v2t/R1']
    assert captions['v2t/R10'] < videos['v2t/R10'] and captions['v2t/MnR'] > videos['v2t/MnR']


def test_the_order_of_captions_and_blocks_changes_nothing(monkeypatch):
    sim = grid(3)
    shuffled = torch.tensor([6, 2, 0, 5, 1, 3, 4])
    whole = [retrieval_metrics(sim, OWNER, gallery=g) for g in GALLERIES]
    monkeypatch.setattr(ranking, 'BLOCK', 8)
    for gallery, expected in zip(GALLERIES, whole, strict=True):
        found = retrieval_metrics(sim[shuffled], OWNER[shuffled], gallery=gallery)
        assert found == pytest.approx(expected)


def test_scores_within_the_tolerance_are_tied():
    sim = torch.tensor([[0.5, 0.5 + 1e-7], [0.0, 1.0]])
    assert retrieval_metrics(sim)['t2v/R1'] == 50
    assert retrieval_metrics(sim, tolerance=1e-6)['t2v/R1'] == 75


@pytest.mark.parametrize('tolerance', [-1e-6, float('nan'), float('inf')])
def test_a_tolerance_is_a_number_from_zero(tolerance):
    with pytest.raises(ValueError, match='tolerance must be a number from 0'):
        retrieval_metrics(torch.eye(2), tolerance=tolerance)


def test_whole_numbers_are_compared_exactly():
    sim = torch.tensor([[2**24 + 1, 2**24], [0, 1]])  # the first two are equal in float32
    for scores in (sim, sim.int(), sim > sim.T):
        figures = retrieval_metrics(scores)
        assert figures == retrieval_metrics(scores.double())
    assert retrieval_metrics(sim)['t2v/tied'] == 0


def test_an_answer_of_minus_infinity_is_never_found():
    sim = torch.full((4, 4), -torch.inf)
    sim[:2, :2] = torch.eye(2)
    found = retrieval_metrics(sim, ties='optimistic', cutoffs=(1, 3))
    for direction in ('t2v', 'v2t'):
        assert found[f'{direction}/R1'] == found[f'{direction}/R3'] == 50
        assert found[f'{direction}/MnR'] == 2.5


@pytest.mark.parametrize(
    'sim, owner, message',
    [
        (torch.zeros(2, 2), [0, 2], '1 captions without a video: caption 1 belongs to video 2'),
        (torch.zeros(2, 2), [0, -1], 'captions without a video'),
        (torch.zeros(2, 3), [0, 2], '1 videos without a caption, the first is video 1'),
        (torch.full((2, 2), torch.nan), [0, 1], '4 similarities are NaN'),
        (torch.zeros(2, 2), [0], 'sim must be'),
        (torch.zeros(0, 2), [], 'neither empty'),
        (torch.zeros(2, 2, 1), [0, 1], 'sim must be'),
    ],
)
def test_what_has_no_rank_is_refused(sim, owner, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(sim, torch.tensor(owner, dtype=torch.long))


def test_videos_without_a_caption_may_be_distractors_of_captions():
    ranks = text_to_video_ranks(torch.tensor([[0.5, 0.9]]), torch.tensor([0]))
    assert ranks.better.tolist() == [1]


@pytest.mark.parametrize('option', [dict(ties='lucky'), dict(gallery='texts')])
def test_unknown_words_are_refused(option):
    with pytest.raises(ValueError, match='must be one of'):
        retrieval_metrics(torch.eye(2), **option)


class TestIntervals:
    def test_a_figure_lies_in_its_interval_which_more_queries_narrow(self):
        generator = torch.Generator().manual_seed(0)
        widths = []
        for number in (100, 900):
            sim = torch.randn(number, number, generator=generator) + 3 * torch.eye(number)
            found = retrieval_metrics(sim, bootstrap=500)
            assert found['t2v/R1_low'] < found['t2v/R1'] < found['t2v/R1_high']
            widths.append(found['t2v/R1_high'] - found['t2v/R1_low'])
        assert widths[0] / widths[1] == pytest.approx(3, rel=0.25)

    def test_it_is_the_binomial_interval_for_a_recall(self):
        hits = torch.cat([torch.ones(300), torch.zeros(100)])
        found = bootstrap_intervals(dict(R1=hits), 1 + hits, torch.arange(400), 4000)
        half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
        assert found['R1_low'] == pytest.approx(0.75 - half, abs=0.006)
        assert found['R1_high'] == pytest.approx(0.75 + half, abs=0.006)

    def test_captions_of_one_video_count_as_one_draw(self):
        """Ten equal captions a video tell no more than one: the interval is as wide."""
        hits = (torch.arange(60) % 3 > 0).double()
        one = bootstrap_intervals(dict(R1=hits), hits, torch.arange(60), 2000)
        ten = hits.repeat_interleave(10)
        clusters = torch.arange(60).repeat_interleave(10)
        assert bootstrap_intervals(dict(R1=ten), ten, clusters, 2000) == pytest.approx(one)
        alone = bootstrap_intervals(dict(R1=ten), ten, torch.arange(600), 2000)
        assert alone['R1_high'] - alone['R1_low'] < 0.5 * (one['R1_high'] - one['R1_low'])

    def test_the_median_is_that_of_the_drawn_queries(self):
        positions = torch.tensor([1.0, 4, 2, 8, 2])
        found = bootstrap_intervals({}, positions, torch.arange(5), 300, level=0.5)
        draw = np.random.default_rng(0).multinomial(5, np.full(5, 0.2), size=300)
        medians = [np.median(np.repeat(positions.numpy(), times)) for times in draw]
        assert found['MdR_low'] == np.quantile(medians, 0.25)
        assert found['MdR_high'] == np.quantile(medians, 0.75)

    @pytest.mark.parametrize('option', [dict(replicates=0), dict(level=1)])
    def test_senseless_options_are_refused(self, option):
        with pytest.raises(ValueError, match='replicates must be positive'):
            bootstrap_intervals({}, torch.ones(3), torch.arange(3), **option)


def test_hits_of_many_tied_items_are_a_share_of_them():
    ranks = Ranks(torch.tensor([2]), torch.tensor([9_999]), torch.tensor([1]))
    assert ranks.hits(52).item() == pytest.approx(50 / 10_000)
