"""Frames and pairs are the released code's; the certificate notices when not."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mmstadapter import parity

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[1] / 'reference' / 'retrieval'


def case(name, change=None):
    path = REFERENCE / f'{name}.safetensors'
    whole = parity.read_case(path)
    info, tensors = json.loads(path.with_suffix('.json').read_text()), load_file(path)
    if change:
        change(info, tensors)
    return type(whole)(info, tensors)


def failing(made) -> list[str]:
    return [line.name for line in made.lines() if not line.holds]


def test_frames_are_the_released_ones():
    lines = list(case('G_frame_sampling').lines())
    assert len(lines) == 4 and all(line.holds for line in lines), lines


def test_pairs_are_the_released_ones():
    lines = list(case('G_datasets_toy').lines())
    assert len(lines) == 9 and all(line.holds for line in lines), lines


@pytest.mark.parametrize(('row', 'strategy'), [(0, 1), (40, 4), (100, 3)])
def test_another_frame_is_noticed(row, strategy):
    def change(info, tensors):
        tensors['frames'][row, 3] += 1

    [name] = failing(case('G_frame_sampling', change))
    assert name.startswith(f'strategy {strategy}')


def test_another_caption_is_noticed():
    def change(info, tensors):
        info['datasets']['vatex']['test']['samples'][1][1] = 'another'

    assert failing(case('G_datasets_toy', change)) == ['vatex, test pairs: unequal']
