"""Figures, DSL and QB-Norm against the authors' numbers; where ties set the two apart."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmstadapter import dual_softmax, querybank_norm, retrieval_metrics
from mmstadapter.parity.metrics import MetricsCase

REFERENCE = Path(__file__).parents[1] / 'reference'


def read(name: str) -> tuple[dict, dict]:
    """Description and numbers of a stored case."""
    path = REFERENCE / f'retrieval_ties_{name}'
    return json.loads(path.with_suffix('.json').read_text()), load_file(
        path.with_suffix('.safetensors')
    )


@pytest.mark.parametrize('name, lines', [('single', 58), ('multi', 59)])
def test_every_stored_number_is_met(name, lines):
    found = list(MetricsCase(*read(name)).lines())
    assert len(found) == lines
    assert not [str(line) for line in found if not line.holds]


@pytest.mark.parametrize(
    'tensor', ['sim', 'bank_v2t', 'rank_v2t_last', 'dsl_t2v', 'qbnorm_rank_v2t_strict', 'v2t_sim']
)
def test_a_changed_number_is_noticed(tensor):
    info, tensors = read('multi')
    tensors[tensor].view(-1)[0] += 1
    assert not all(line.holds for line in MetricsCase(info, tensors).lines())


def test_a_changed_figure_is_noticed():
    info, tensors = read('single')
    info['official']['v2t']['MeanR'] += 0.01
    assert not all(line.holds for line in MetricsCase(info, tensors).lines())


def test_with_ties_the_released_recall_is_outside_what_any_order_can_give():
    info, tensors = read('single')
    low, high = (
        retrieval_metrics(tensors['sim'], ties=ties) for ties in ('pessimistic', 'optimistic')
    )
    assert info['official']['t2v']['R1'] == pytest.approx(25.4545, abs=1e-4)
    assert (low['t2v/R1'], high['t2v/R1']) == (40, 70)
    assert retrieval_metrics(tensors['sim'])['t2v/R1'] == pytest.approx(52.5)


class TestDualSoftmax:
    def test_rows_sum_as_the_formula_says(self):
        sim = torch.rand(6, 4)
        expected = sim.double() * (100 * sim.double()).softmax(0)
        torch.testing.assert_close(dual_softmax(sim), expected)

    def test_nothing_underflows_that_float32_would_lose(self):
        sim = torch.tensor([[1.0, -1], [-1, 1]])
        assert dual_softmax(sim).all() and not torch.exp(-100 * torch.tensor(2.0))

    @pytest.mark.parametrize('bad', [torch.nan, torch.inf, -torch.inf])
    def test_scores_that_are_not_finite_are_refused(self, bad):
        with pytest.raises(ValueError, match='dual_softmax: a matrix of finite scores'):
            dual_softmax(torch.tensor([[0.1, bad]]))

    @pytest.mark.parametrize('temperature', [0, -1, torch.inf, torch.nan])
    def test_a_temperature_is_a_positive_number(self, temperature):
        with pytest.raises(ValueError, match='temperature must be a positive, finite number'):
            dual_softmax(torch.rand(2, 2), temperature)


class TestQuerybankNorm:
    @pytest.mark.parametrize('beta', [0, -1, torch.inf, torch.nan])
    def test_beta_is_a_positive_number(self, beta):
        with pytest.raises(ValueError, match='beta must be a positive, finite number'):
            querybank_norm(torch.rand(2, 2), torch.rand(2, 2), beta)

    def test_only_queries_whose_best_item_is_active_change(self):
        sim = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.1]])
        bank = torch.tensor([[0.5, 0.1, 0.2], [0.6, 0.3, 0.1]])
        found, rows = querybank_norm(sim, bank)
        assert rows.tolist() == [True, False]
        assert torch.equal(found[1], sim[1].double())
        expected = (20 * sim[0].double()).exp() / (20 * bank.double()).exp().sum(0)
        torch.testing.assert_close(found[0], expected)

    @pytest.mark.parametrize('shift', [-0.5, 0.0, 0.5])
    def test_a_large_beta_loses_no_order(self, shift):
        """The exponents reach from -2500 to 2500, exp of float64 from -745 to 709."""
        bank = torch.full((1, 3), 0.5) + torch.tensor([0.02, 0.01, 0.0])
        sim = bank + shift + torch.tensor([[0.0, 0.03, 0.06], [0.05, 0.0, 0.02]])
        found, rows = querybank_norm(sim, bank, beta=5000.0, k=3)
        assert rows.all() and found.isfinite().all() and found.all()
        assert torch.equal(found.argsort(dim=1), torch.tensor([[0, 1, 2], [1, 2, 0]]))

    @pytest.mark.parametrize('bank, k', [((4, 2), 1), ((0, 3), 1), ((4, 3), 0), ((4, 3), 4)])
    def test_a_bank_over_other_items_is_refused(self, bank, k):
        with pytest.raises(ValueError, match='over the 3 items'):
            querybank_norm(torch.rand(2, 3), torch.rand(bank), k=k)
