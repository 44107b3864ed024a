"""Two gloo processes train a retriever as one process does on the joint batch."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.registry import init_default_scope

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).with_name('retriever_gradients.py')


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location('retriever_gradients', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = load_script().CASES
EXACT = [name for name, (changes, _) in CASES.items() if 'gather' not in changes]


def run_on_two(out: Path) -> dict:
    """What the script finds on two processes."""
    paths = [str(SCRIPT.parents[2]), os.environ.get('PYTHONPATH', '')]
    env = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
    env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    torchrun = ['-m', 'torch.distributed.run', '--nproc_per_node=2']
    torchrun += ['--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0']
    command = [sys.executable, *torchrun, str(SCRIPT), str(out)]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, cwd=out.parent, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return torch.load(out)


@pytest.fixture(scope='module')
def found(tmp_path_factory) -> tuple[dict, dict, Path]:
    """What one process finds, what two find, and the folder."""
    folder = tmp_path_factory.mktemp('gradients')
    init_default_scope('mmaction')
    gradients = load_script().gradients
    one = {name: gradients(changes, slice(None)) for name, (changes, _) in CASES.items()}
    return one, run_on_two(folder / 'two.pth'), folder


def assert_same(actual, expected, name):
    """Equal up to the noise of sums in another order, which is all there is of a gradient of 0.

    That of a bias before a softmax is 0; with two threads rounding leaves 3e-7 of it.
    """
    noise = 1e-5 * expected.abs().max().item() + 1e-6
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=noise, msg=name)


@pytest.mark.parametrize('case', EXACT)
def test_loss_and_gradients_equal_those_of_one_process_on_the_joint_batch(found, case):
    one, two = found[0][case], found[1][case]
    assert one.keys() == two.keys() and {'loss', 'logit_scale'} < one.keys()
    for name in one:
        assert_same(two[name], one[name], name)


def test_parts_change_nothing(found):
    for case in ('token', 'mean'):
        for name, whole in found[0][case].items():
            parts = found[0][f'{case}, in parts'][name]
            assert_same(parts, whole, name)


def test_released_gradients_are_halved_before_the_gathering_and_whole_after_it(found):
    one, two = (f['token, released'] for f in found[:2])
    for name, whole in one.items():
        before = name.startswith(('backbone.', 'text_tower.'))
        expected = whole / 2 if before else whole
        assert_same(two[name], expected, name)


def test_other_shapes_elsewhere_are_an_error_in_every_process(found):
    errors = [(found[2] / f'two.pth.error{rank}').read_text() for rank in (0, 1)]
    assert errors[0] == errors[1]
    assert 'process 0: [(2, 8, 16), (2, 4, 16), (2, 8)]; process 1: [(2, 8, 16), (2, 5' in errors[0]
