"""Similarities, gathering, optimizer and training give the numbers of the released code."""

import json
from pathlib import Path

import pytest

from mmstadapter.parity import read_case
from mmstadapter.parity.training import TrainingCase

FILES = sorted((Path(__file__).parents[1] / 'reference/retrieval_training').glob('*.safetensors'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
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


def test_norms_of_gradients_are_compared_too():
    case = read_case(next(path for path in FILES if path.stem == 'C_wti_5_strided_gradients'))
    case.info['gradstat']['video_feat'][0] += 0.01
    assert [line.name for line in case.lines() if not line.holds] == ['train/gradstat/video_feat']


def test_a_changed_number_is_noticed():
    case = read_case(next(path for path in FILES if path.stem == 'H_end_to_end_1'))
    case.tensors['param/clip.visual.side_proj'][0, 0] += 0.5
    names = {line.name for line in case.lines() if not line.holds}
    assert {'step0/loss', 'final_eval/frames'} <= names
