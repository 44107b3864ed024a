"""Retrieval metrics over two processes are those of one; errors reach both."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from mmstadapter import RetrievalFeatures, feature_metrics

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).with_name('retrieval_run.py')


@pytest.fixture(scope='module')
def tested(python, tmp_path_factory) -> Path:
    """Where two processes left what they found."""
    out = tmp_path_factory.mktemp('retrieval')
    done = python(SCRIPT, out, processes=2, cwd=out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope='module')
def toy():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location('retrieval_run', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_video_counts_once_although_the_sampler_repeats_one(tested, toy):
    features = RetrievalFeatures.load(tested / 'features')
    assert features.video_ids == [f'v{i}' for i in range(toy.VIDEOS)]
    assert features.captions[:4] == [
        f'caption {i} of v{v}' for v, i in ((0, 0), (1, 0), (1, 1), (2, 0))
    ]
    expected = torch.cat([toy.tokens(i, 1, toy.FRAMES)['tokens'] for i in range(toy.VIDEOS)])
    assert torch.equal(features.video['tokens'], expected)


def test_both_processes_get_the_metrics_of_one(tested):
    two = [json.loads((tested / f'metrics{rank}.json').read_text()) for rank in range(2)]
    features = RetrievalFeatures.load(tested / 'features')
    one = feature_metrics(features, dsl=True, bootstrap=50)
    expected = {f'retrieval/{k}': v for k, v in one.items()} | dict(bad_videos=0)
    assert two[0] == two[1] == pytest.approx(expected)
    assert one['v2t/queries'] == 7 and one['t2v/queries'] == 13


def test_an_id_that_two_videos_share_stops_both_processes(tested):
    for rank in range(2):
        message = (tested / f'error{rank}.txt').read_text()
        assert message.startswith(
            'ValueError: TextVideoMetric: 3 different video ids for a data set of 4'
        )
        assert "More than once: 'same'" in message


def test_a_file_that_cannot_be_written_stops_both_processes(tested):
    messages = [(tested / f'unwritable{rank}.txt').read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert messages[0].startswith(('FileExistsError', 'NotADirectoryError'))
