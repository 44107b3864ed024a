"""Batch norms on two processes: statistics of their own, or joint ones by one field."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.processes

HERE = Path(__file__).parent


@pytest.fixture(scope='module')
def script():
    """``batch_norm_run.py`` as a module."""
    sys.path.insert(0, str(HERE))
    spec = importlib.util.spec_from_file_location('batch_norm_run', HERE / 'batch_norm_run.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(HERE))
    return module


@pytest.fixture(scope='module')
def folder(python, tmp_path_factory) -> Path:
    """What two processes leave."""
    out = tmp_path_factory.mktemp('norms')
    done = python(HERE / 'batch_norm_run.py', out, processes=2, cwd=out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope='module')
def ranks(folder) -> list[dict]:
    """The results of both processes."""
    return [torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in (0, 1)]


def saved(folder: Path, name: str) -> dict:
    """Running statistics of a run's last checkpoint."""
    state = torch.load(folder / name / 'epoch_2.pth', weights_only=False)['state_dict']
    return {k: v for k, v in state.items() if 'running' in k}


def test_each_process_has_statistics_of_its_own(ranks):
    first, second = (rank['own']['statistics'] for rank in ranks)
    assert len(first) == 2 * (1 + 2 * 2 + 1)  # stem, two a block, the final one
    assert not any(torch.equal(first[name], second[name]) for name in first)


def test_one_field_makes_them_those_of_one_process_on_the_joint_batch(script, ranks):
    one = script.one_pass(0, 1, sync=False)
    for rank in ranks:
        joint = rank['joint']
        for kind in ('gradients', 'statistics'):
            assert joint[kind].keys() == one[kind].keys()
            for name, tensor in one[kind].items():
                torch.testing.assert_close(
                    joint[kind][name], tensor, rtol=1e-4, atol=2e-6, msg=lambda m, n=name: n + m
                )


def test_without_it_they_are_not(script, ranks):
    one = script.one_pass(0, 1, sync=False)['gradients']['backbone.side.stem.norm.weight']
    own = ranks[0]['own']['gradients']['backbone.side.stem.norm.weight']
    assert (own - one).abs().max() > 1e-3 * one.abs().max()


def test_parts_may_differ_in_size_and_not_in_number(ranks):
    assert [rank['parts'][0] for rank in ranks] == ['gradient (3, 3)', 'gradient (4, 3)']
    for rank in ranks:
        assert 'same number of parts, got [2, 3]' in rank['parts'][1]


def test_a_checkpoint_holds_the_mean_of_the_processes(ranks, folder):
    first, second = (rank['own']['trained'] for rank in ranks)
    kept = saved(folder, 'own')
    assert not any(torch.equal(first[name], second[name]) for name in kept)
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)


def test_a_checkpoint_of_joint_statistics_holds_those_of_every_process(ranks, folder):
    kept = saved(folder, 'joint')
    assert len(kept) == 12
    for rank in ranks:
        for name, tensor in kept.items():
            torch.testing.assert_close(tensor, rank['joint']['trained'][name])
