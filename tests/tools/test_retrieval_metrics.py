"""The command that ranks saved features."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from mmstadapter import RetrievalFeatures
from mmstadapter.commands import retrieval_metrics


@pytest.fixture
def call(capsys):
    """Runs the command in this process; gives what it printed."""

    def run(*arguments) -> str:
        retrieval_metrics.main(list(map(str, arguments)))
        return capsys.readouterr().out

    return run


@pytest.fixture
def file(tmp_path):
    """Writes features of some videos with two captions each."""

    def write(name: str, videos: int, seed: int = 0) -> Path:
        draw = torch.Generator().manual_seed(seed)
        video = torch.randn(videos, 16, generator=draw)
        text = video.repeat_interleave(2, 0) + 1.5 * torch.randn(2 * videos, 16, generator=draw)
        RetrievalFeatures(
            text=dict(vector=normalize(text, dim=-1)),
            video=dict(vector=normalize(video, dim=-1)),
            owner=torch.arange(videos).repeat_interleave(2),
            video_ids=[f'{name}{i}' for i in range(videos)],
            captions=[f'caption {i}' for i in range(2 * videos)],
        ).save(tmp_path / name)
        return tmp_path / name

    return write


def test_it_prints_both_directions_with_intervals_and_extras_apart(call, file, tmp_path):
    lines = call(
        file('test', 30), '--bootstrap', 100, '--dsl', '--qb-norm', file('bank', 20, 1)
    ).splitlines()
    assert lines[0].endswith('60 captions, 30 videos; vectors of 16 dims; ties expected')
    assert lines[1].split() == ['R1', 'R5', 'R10', 'R50', 'MdR', 'MnR', 'queries', 'tied']
    assert lines[2].startswith('text to video') and lines[2].split()[-2:] == ['60', '0']
    assert lines[3].split()[:2] == ['95', '%'] and lines[4].split()[0] == 'to'
    assert lines[5].startswith('video to text') and lines[5].split()[-2] == '30'
    assert sum('not comparable' in line for line in lines) == 2


def test_json_holds_every_figure(call, file, tmp_path):
    path = file('test', 30)
    printed = json.loads(call(path, '--json', '-'))
    call(path, '--json', tmp_path / 'new/out.json')
    assert printed == json.loads((tmp_path / 'new/out.json').read_text())
    assert printed['t2v/queries'] == 60 and 0 < printed['v2t/R1'] <= 100


def test_memory_is_a_bound_with_a_unit(call, file):
    assert [retrieval_metrics.in_bytes(text) for text in ('512', '2k', '1.5M')] == [
        512,
        2048,
        1536 * 1024,
    ]
    path = file('test', 30)
    assert call(path, '--memory', '8K') == call(path)
    with pytest.raises(SystemExit, match='memory must be at least'):
        call(path, '--memory', '100')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['nothing.safetensors'], 'no file'),
        ([__file__], 'not a safetensors file'),
    ],
)
def test_what_is_no_file_of_features_ends_with_a_sentence(call, arguments, message):
    with pytest.raises(SystemExit, match=message):
        call(*arguments)


def test_an_unknown_rule_for_ties_ends_with_a_sentence(call, file):
    with pytest.raises(SystemExit, match='ties must be one of'):
        call(file('test', 3), '--ties', 'none')


def test_a_device_that_is_not_there_ends_with_a_sentence(call, file):
    with pytest.raises(SystemExit, match="device 'cuda:99' cannot be used"):
        call(file('test', 3), '--device', 'cuda:99')


def test_figures_that_cannot_be_written_are_printed_all_the_same(capsys, file):
    path = file('test', 3)
    with pytest.raises(SystemExit, match='directory'):
        retrieval_metrics.main([str(path), '--json', str(path.parent)])
    assert 'text to video' in capsys.readouterr().out
