"""Training that was killed and resumed gives the same numbers as training in one go."""

import json
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.processes

EPOCH = 3  # iterations


def record(work_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (work_dir / 'record.jsonl').read_text().splitlines()]


@pytest.fixture(scope='module')
def whole(request, toy_run, tmp_path_factory) -> tuple[Path, int]:
    """Work dir of a run of four epochs in one go, and its number of workers."""
    work_dir = tmp_path_factory.mktemp('whole')
    done = toy_run(work_dir, '--workers', request.param)
    assert done.returncode == 0, done.stderr
    return work_dir, request.param


@pytest.mark.parametrize('whole', [0, 2], ids='{} workers'.format, indirect=True)
def test_a_killed_and_resumed_run_is_bit_equal(whole, toy_run, tmp_path):
    work_dir, workers = whole
    killed = toy_run(tmp_path, '--workers', workers, '--die-at', 2 * EPOCH + 1)
    assert killed.returncode == -9
    resumed = toy_run(tmp_path, '--workers', workers, '--resume')
    assert resumed.returncode == 0, resumed.stderr

    lines = record(tmp_path)
    before, after = lines[: 2 * EPOCH + 2], lines[2 * EPOCH + 2 :]
    assert [line['iter'] for line in after] == list(range(2 * EPOCH, 4 * EPOCH))
    assert before[: 2 * EPOCH] + after == record(work_dir)

    final, reference = (torch.load(d / 'final.pth') for d in (tmp_path, work_dir))
    assert final.keys() == reference.keys()
    for name in reference:
        assert torch.equal(final[name], reference[name]), name


@pytest.mark.parametrize('whole', [0], ids='{} workers'.format, indirect=True)
def test_validation_does_not_disturb_the_random_numbers(whole, toy_run, tmp_path):
    work_dir, workers = whole
    done = toy_run(tmp_path, '--workers', workers, '--no-val')
    assert done.returncode == 0, done.stderr
    assert record(tmp_path) == record(work_dir)


@pytest.mark.parametrize('whole', [0], ids='{} workers'.format, indirect=True)
def test_the_first_iterations_follow_the_warm_up(whole):
    rates = [line['lr'] for line in record(whole[0])]
    assert rates[: EPOCH + 1] == pytest.approx([0.0, 0.01 / 3, 0.02 / 3, 0.01])
    assert rates[-1] > 0
