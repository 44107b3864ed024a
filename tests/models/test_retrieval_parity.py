"""Similarities, gathering, optimizer and training give the numbers of the released code."""

from pathlib import Path

import pytest

from mmstadapter.parity import read_case

FILES = sorted((Path(__file__).parents[1] / 'reference/retrieval_training').glob('*.safetensors'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_quantity_agrees(path):
    lines = list(read_case(path).lines())
    assert len(lines) >= 8
    assert not [str(line) for line in lines if not line.holds]


def test_every_case_is_there():
    assert len(FILES) == 10


def test_a_changed_number_is_noticed():
    case = read_case(next(path for path in FILES if path.stem == 'H_end_to_end_1'))
    case.tensors['param/clip.visual.side_proj'][0, 0] += 0.5
    names = {line.name for line in case.lines() if not line.holds}
    assert {'step0/loss', 'final_eval/frames'} <= names
