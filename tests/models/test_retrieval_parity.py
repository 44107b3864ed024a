"""Similarities, gathering, optimizer and training give the numbers of the released code."""

import json
from pathlib import Path

import pytest

from mmstadapter.parity import read_case
from mmstadapter.parity.retrieval import BertAdamCase
from mmstadapter.parity.training import TrainingCase

FILES = sorted((Path(__file__).parents[1] / 'reference/retrieval_training').glob('*.safetensors'))
GATHERED = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.processes] * ('allgather' in path.stem))
    for path in FILES
]


@pytest.mark.parametrize('path', GATHERED)
def test_every_quantity_agrees(path):
    lines = list(read_case(path).lines())
    assert len(lines) >= 8
    assert not [str(line) for line in lines if not line.holds]


def test_every_case_is_there():
    assert len(FILES) == 12


@pytest.mark.parametrize('cdcr, weight', [(True, 0.001), (False, 0.0)])
def test_training_has_the_decorrelation_term_where_the_case_had_it(cdcr, weight):
    path = next(path for path in FILES if path.stem == 'H_end_to_end_1')
    info = json.loads(path.with_suffix('.json').read_text())
    assert TrainingCase(info | dict(cdcr=cdcr), {}).model.contrast.decorrelation == weight


@pytest.mark.parametrize(
    'change', [dict(max_grad_norm=-1), dict(t_total=-1), dict(schedule='warmup_linear')], ids=str
)
def test_other_settings_of_the_released_optimizer_are_taken_or_refused(change):
    case = read_case(next(path for path in FILES if path.stem == 'G_bertadam'))
    if 'schedule' in change:
        with pytest.raises(ValueError, match='warmup_cosine, the only one here, got warmup_linear'):
            BertAdamCase(case.info | change, case.tensors)
    else:  # computed, and not what the file holds
        lines = list(BertAdamCase(case.info | change, case.tensors).lines())
        assert not all(line.holds for line in lines)


def test_norms_of_gradients_are_compared_too():
    case = read_case(next(path for path in FILES if path.stem == 'C_wti_5_strided_gradients'))
    case.info['gradstat']['video_feat'][0] += 0.01
    assert [line.name for line in case.lines() if not line.holds] == [
        'train/gradstat/video_feat norm'
    ]


def test_a_changed_number_is_noticed():
    case = read_case(next(path for path in FILES if path.stem == 'H_end_to_end_1'))
    case.tensors['param/clip.visual.side_proj'][0, 0] += 0.5
    names = {line.name for line in case.lines() if not line.holds}
    assert {'step0/loss', 'final_eval/frames'} <= names
