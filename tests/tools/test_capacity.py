"""What of a wanted batch fits a memory: more is recomputed before clips are left out."""

import json

import pytest
import torch

from mmstadapter.apis.capacity import Capacity, choose_capacity, usable_memory
from mmstadapter.planning import TrainingStep
from mmstadapter.planning.settings import changed

from .test_estimate import config

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def steps(tmp_path_factory):
    """A config of 32 clips a step, and its step as it is and with recomputed MLPs and blocks."""
    given = config(tmp_path_factory.mktemp('videos'), 32)
    lean = (changed(given, {'model.backbone.recompute': step}) for step in ('mlp', 'block'))
    return given, *(TrainingStep(each, on_cpu=True) for each in (given, *lean))


def chosen(given, memory, tmp_path, is_given=False) -> Capacity:
    tmp_path.mkdir(exist_ok=True)
    return choose_capacity(given, CPU, is_given, tmp_path / 'memory.json', memory)


def test_what_fits_is_taken_as_it_is_wanted(steps, tmp_path):
    given, plain, *_ = steps
    assert chosen(given, plain.account().peak, tmp_path) == (32, None, '')


def test_recomputing_comes_first_since_it_changes_no_result(steps, tmp_path):
    given, plain, *_ = steps
    found = chosen(given, plain.account().peak - 1, tmp_path)
    assert found[:2] == (32, 'mlp') and found.reason.startswith("recompute='mlp', ")


@pytest.mark.slow
def test_no_more_is_recomputed_than_memory_asks_for(steps, tmp_path):
    given, _, some, lean = steps
    assert chosen(given, some.account().peak, tmp_path)[:2] == (32, 'mlp')
    assert chosen(given, lean.account().peak, tmp_path / 'b')[:2] == (32, 'block')


@pytest.mark.slow
def test_then_the_batch_is_the_largest_power_of_two_that_fits(steps, tmp_path):
    given, *_, lean = steps
    found = chosen(given, lean.account(31).peak, tmp_path)
    assert found[:2] == (16, 'block') and found.reason.startswith('only 16 clips a step')


def test_a_given_batch_stays(steps, tmp_path):
    given, *_, lean = steps
    found = chosen(given, lean.account(31).peak, tmp_path, is_given=True)
    assert found[:2] == (32, 'block') and 'it will hardly fit' in found.reason


def test_a_base_that_says_whether_to_recompute_is_left_alone(steps, tmp_path):
    given, plain, *_ = steps
    said = changed(given, {'model.backbone.recompute': 'elementwise'})
    assert chosen(said, plain.account().peak - 1, tmp_path)[:2] == (16, None)


def test_nothing_fits_is_said(steps, tmp_path):
    found = chosen(steps[0], 1000, tmp_path)
    assert found.batch_size == 1 and "not even one clip with recompute='block'" in found.reason


def test_a_training_goes_on_as_it_began_whatever_the_memory_is_now(steps, tmp_path):
    given, plain, *_ = steps
    first = chosen(given, plain.account().peak - 1, tmp_path)
    assert chosen(given, 1e12, tmp_path) == first
    assert chosen(changed(given, {'model.cls_head.num_classes': 3}), 1e12, tmp_path)[1] is None


def test_what_cannot_be_planned_is_trained_as_wanted(steps, tmp_path):
    odd = changed(steps[0], {'model.backbone.type': 'mmstadapter.NoSuchViT'})
    found = chosen(odd, 1e12, tmp_path)
    assert found[:2] == (32, None) and found.reason.startswith('memory not planned: ')
    assert not (tmp_path / 'memory.json').exists()


def test_a_damaged_note_is_made_again(steps, tmp_path):
    (tmp_path / 'memory.json').write_text('[')
    assert chosen(steps[0], 1e12, tmp_path) == (32, None, '')
    assert json.loads((tmp_path / 'memory.json').read_text())['batch_size'] == 32


def test_a_part_of_a_machines_memory_is_left_for_others(monkeypatch):
    monkeypatch.setattr('os.sysconf', {'SC_PHYS_PAGES': 1000, 'SC_PAGE_SIZE': 10}.get)
    assert usable_memory(CPU) == 8000
