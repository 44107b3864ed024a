"""Retrieval metrics over several processes are those of one; errors reach all."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from mmstadapter import RetrievalFeatures, feature_metrics

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).with_name('retrieval_run.py')


@pytest.fixture(scope='module', params=[2, 4])
def tested(python, tmp_path_factory, request) -> Path:
    """Where two or four processes left what they found."""
    out = tmp_path_factory.mktemp('retrieval')
    done = python(SCRIPT, out, processes=request.param, cwd=out)
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


def told(tested: Path, name: str) -> list[str]:
    """What each process wrote."""
    files = [path.read_text() for path in sorted(tested.glob(name))]
    assert len(files) in (2, 4)
    return files


def test_all_processes_get_the_metrics_of_one_to_the_last_bit(tested, toy):
    several = [json.loads(text) for text in told(tested, 'metrics?.json')]
    features = RetrievalFeatures.load(tested / 'features')
    one = feature_metrics(features, dsl=True, bootstrap=50, memory=toy.MEMORY)
    expected = {f'retrieval/{k}': v for k, v in one.items()} | dict(bad_videos=0)
    assert all(each == expected for each in several)
    assert one['v2t/queries'] == 7 and one['t2v/queries'] == 13


def test_an_id_that_two_videos_share_stops_all_processes(tested):
    for message in (messages := told(tested, 'error?.txt')):
        size = len(messages)
        assert message.startswith(
            f'ValueError: TextVideoMetric: {size + 1} different video ids for a data set of 99'
        )
        assert "More than once: 'same'" in message


def test_a_file_that_cannot_be_written_stops_all_processes(tested):
    messages = told(tested, 'unwritable?.txt')
    assert len(set(messages)) == 1
    assert messages[0].startswith(('FileExistsError', 'NotADirectoryError'))


def test_a_device_that_one_process_lacks_stops_all_processes(tested):
    messages = told(tested, 'device?.txt')
    assert len(set(messages)) == 1
    assert messages[0].startswith('RuntimeError: retrieval: rank 1: ')
