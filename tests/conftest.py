"""Shared by all tests: no GPU, no unexpected process, MMAction2's scope, one start of chance."""

import ast
import gc
import multiprocessing.util
import os
import random
import sys
from collections import Counter
from pathlib import Path

# Tests run on the CPU wherever they run, and so do the processes that they start. Before torch
# is imported, since it may look for devices then.
os.environ['CUDA_VISIBLE_DEVICES'] = ''

import mmengine.config.config
import mmengine.hooks.runtime_info_hook
import mmengine.runner.runner
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401  (repairs the host packages)

pytest_plugins = 'pytester'  # tests/test_tiers.py

# Processes that tests start import this clone's package, wherever they run.
CLONE = str(Path(__file__).parents[1])
os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [CLONE, os.environ.get('PYTHONPATH')]))

# MMEngine's runner starts gcc and git to note their versions.
mmengine.runner.runner.collect_env = lambda: dict(machine='not asked in tests')
for module in (mmengine.runner.runner, mmengine.hooks.runtime_info_hook):
    module.get_git_hash = lambda: 'unknown'


def parse(text: str, **_) -> tuple[str, bool]:
    """In place of yapf, which lays a config out five times a run, seconds each with long paths."""
    ast.parse(text)
    return text, False


mmengine.config.config.FormatCode = parse

STARTS = {'subprocess.Popen', 'os.exec', 'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.system'}


SHARE = 16  # of a sweep, one test in so many is quick


class Watch:
    """Stops what would start a process during a test without the mark ``processes``.

    So `make test`, which leaves marked tests out, keeps its promise. Python reports every start
    but those of multiprocessing's ``spawn``, which is made to report too.
    """

    def __init__(self):
        self.forbidden, self.seen = False, []
        self.spawn = multiprocessing.util.spawnv_passfds
        multiprocessing.util.spawnv_passfds = self.report_and_spawn
        sys.addaudithook(self.look)

    def report_and_spawn(self, path, args, passfds):
        sys.audit('subprocess.Popen', path, args, None, None)
        return self.spawn(path, args, passfds)

    def look(self, event: str, args: tuple) -> None:
        if self.forbidden and event in STARTS:
            self.seen.append(f'{event} {args[:2]}')
            raise RuntimeError(f'{self.seen[-1]}: mark this test with pytest.mark.processes')

    def over(self, item: pytest.Item):
        """Watch one phase of a test; code that swallows our error does not get by."""
        self.forbidden, self.seen = item.get_closest_marker('processes') is None, []
        try:
            outcome = yield
        finally:
            self.forbidden = False
        if self.seen:
            pytest.fail(f'starts a process and is not marked `processes`: {self.seen}')
        return outcome


watch = Watch()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave all but one in `SHARE` of a sweep to `make test-all`; put the longest files first."""
    seen: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker('sweep'):
            name = item.nodeid.partition('[')[0]
            if seen[name] % SHARE:
                item.add_marker('slow')
            seen[name] += 1
    # A file is one worker's: with the longest last, the other workers would stand idle.
    long = {item.path for item in items if item.get_closest_marker('minutes')}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from watch.over(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from watch.over(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    return (yield from watch.over(item))


def pytest_collection_finish():
    """MMEngine collects garbage at every data set that it builds; what was imported is none."""
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption(
        '--full', action='store_true', help='all optional libraries are here: a skip is a failure'
    )


def refuse_skip(report, config: pytest.Config):
    """In the full environment nothing is left out for want of a library; a browser is none."""
    is_allowed = hasattr(report, 'wasxfail') or 'Skipped: no browser' in str(report.longrepr)
    if config.getoption('full') and report.skipped and not is_allowed:
        report.outcome, report.longrepr = 'failed', f'skipped in spite of --full: {report.longrepr}'
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return refuse_skip((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return refuse_skip((yield), collector.config)


@pytest.fixture(autouse=True)
def mmaction_scope():
    init_default_scope('mmaction')


@pytest.fixture(autouse=True)
def same_environment():
    """What a test's commands note in the environment (LOCAL_RANK ...) does not reach the next."""
    os.environ.pop('LOCAL_RANK', None)  # of a wider fixture's command, which ran before this
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(autouse=True)
def same_chance():
    """A test's numbers do not hang on those before it, which differ from machine to machine."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def nothing_compiled():
    """A test's graphs do not count against the next one's limit of eight a function."""
    yield
    dynamo = sys.modules.get('torch._dynamo.convert_frame')
    if dynamo is not None and dynamo.FRAME_COUNTER:  # of frames compiled since the last time
        torch._dynamo.reset()


@pytest.fixture(autouse=True)
def no_run_before():
    """MMEngine names a run by config and second; one of the same name goes on from its notes."""
    MessageHub._instance_dict.clear()
