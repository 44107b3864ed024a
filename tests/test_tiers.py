"""The promises of tests/conftest.py: no child process unmarked, no GPU, no skip with --full."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device

CONFTEST = Path(__file__).with_name('conftest.py')
STARTS = {
    'subprocess': "subprocess.run(['true'])",
    'shell': "os.system('true')",
    'fork': 'os.fork() or os._exit(0)',
    'spawn': "run(multiprocessing.get_context('spawn'))",
    'data loader': 'list(DataLoader(range(2), num_workers=1))',
    'swallowed': "try: os.system('true')\n    except Exception: pass",
}
CODE = """
import multiprocessing, os, subprocess
import pytest
from torch.utils.data import DataLoader

def run(context):
    process = context.Process(target=os.getpid)
    process.start()
    process.join()

{mark}
def test_it():
    {start}
"""


@pytest.fixture
def outcomes(pytester):
    """Runs tests in a folder with a conftest.py like this one's; gives how many ended how."""
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini('[pytest]\nmarkers = processes: starts processes')

    def run(code: str, *options: str) -> dict[str, int]:
        pytester.makepyfile(code)
        quiet = ('-p', 'no:cacheprovider', '-p', 'no:warnings')  # Python 3.12 warns of forks
        return pytester.runpytest_inprocess(*quiet, *options).parseoutcomes()

    return run


@pytest.mark.processes
@pytest.mark.parametrize('start', STARTS.values(), ids=STARTS)
class TestAProcess:
    def test_fails_a_test_that_is_not_marked(self, outcomes, start):
        assert outcomes(CODE.format(mark='', start=start)) == dict(failed=1)

    def test_may_be_started_by_one_that_is(self, outcomes, start):
        mark = '@pytest.mark.processes'
        assert outcomes(CODE.format(mark=mark, start=start)) == dict(passed=1)


@pytest.mark.processes
def test_a_fixture_of_a_whole_module_is_watched_too(outcomes):
    code = """
        import os, pytest

        @pytest.fixture(scope='module')
        def started():
            os.system('true')

        def test_it(started):
            pass
    """
    assert outcomes(code) == dict(errors=1)


@pytest.mark.parametrize(
    'code',
    [
        "pytest.importorskip('no_such_library')",
        "@pytest.mark.skipif(True, reason='none')\ndef test_it(): pass",
        "def test_it(): pytest.skip('not here')",
    ],
    ids=['module', 'mark', 'call'],
)
def test_a_skip_is_a_failure_where_every_library_is_installed(outcomes, code):
    assert 'skipped' in outcomes(f'import pytest\n{code}')
    with_all = outcomes(f'import pytest\n{code}', '--full')
    assert 'skipped' not in with_all and {*with_all} & {'failed', 'errors'}


def test_no_gpu_is_seen_here_or_in_processes_that_tests_start():
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''
    assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
    assert get_device() == 'cpu'


def test_what_a_test_leaves_in_the_environment_does_not_reach_the_next(outcomes):
    code = """
        import os, pytest

        @pytest.mark.parametrize('number', [1, 2])
        def test_it(number):
            assert 'NOTED' not in os.environ
            os.environ['NOTED'] = 'here'
    """
    assert outcomes(code) == dict(passed=2)
