"""A process that stands still ends the others, with its rank, instead of letting them wait."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from torch.distributed import HashStore

from mmstadapter.engine import HeartbeatHook
from mmstadapter.engine.heartbeat import Heartbeat

SCRIPT = Path(__file__).with_name('heartbeat_processes.py')


@pytest.fixture
def three():
    """The heartbeats of three processes with one store, a limit of 10 s, and what they said."""
    store, said = HashStore(), []
    beats = [Heartbeat(store, rank, 3, 10, said.append) for rank in range(3)]
    for beat in beats:
        beat.speak()
    return beats, said


def test_nobody_is_silent_while_all_speak(three):
    beats, _ = three
    for now in (0, 8, 16):
        assert beats[0].listen(now) == ''
        for beat in beats:
            beat.speak()


def test_who_says_nothing_new_for_longer_than_the_limit_is_named(three):
    beats, _ = three
    assert beats[0].listen(100) == ''  # the clock of whoever listens counts
    beats[1].speak()
    assert beats[0].listen(109) == ''
    assert beats[0].listen(111) == f'rank 2 ({beats[2].me})'
    assert beats[0].listen(120) == f'rank 1 ({beats[1].me}) and rank 2 ({beats[2].me})'


def test_who_has_left_is_not_waited_for(three):
    beats, _ = three
    beats[1].leave()
    beats[0].listen(0)
    beats[2].speak()
    assert beats[0].listen(11) == ''


def test_the_message_says_who_and_how_to_go_on(three):
    beats, said = three
    beats[0].limit = 0.05
    beats[0].run()  # as its thread does; nobody else speaks
    (message,) = said
    assert message.startswith('Rank 0 of 3 ends: no sign of rank 1 (')
    assert f'process {os.getpid()}' in message and '--resume' in message


def test_a_store_that_is_gone_ends_the_process_too(three, monkeypatch):
    beats, said = three

    class Gone:
        def set(self, key, value):
            raise RuntimeError('connection reset')

    beats[1].store = Gone()
    beats[1].run()
    assert 'no sign of the process that keeps the store, rank 0' in said[0]
    assert 'connection reset' in said[0]


def test_who_finishes_waits_for_a_word_that_is_under_way(three):
    """The thread would abort the process if it came back from the store while Python ends."""
    beats, _ = three
    under_way, store = Event(), beats[0].store

    class Slow:
        def set(self, key, value):
            under_way.set()
            time.sleep(0.3)
            store.set(key, value)

        def get(self, key):
            return store.get(key)

    beats[0].store = Slow()
    beats[0].start()
    assert under_way.wait(10)
    beats[0].finish()
    assert not beats[0].is_alive()


def test_a_single_process_has_none():
    hook = HeartbeatHook()
    hook.before_run(SimpleNamespace(cfg=Config()))
    assert hook.heartbeat is None


def test_a_limit_must_be_positive():
    with pytest.raises(ValueError, match='limit must be positive seconds, got 0'):
        HeartbeatHook(limit=0)


@pytest.mark.parametrize('stopped', ['0', '1', 'none'])
@pytest.mark.processes
def test_two_processes_of_which_one_is_stopped(stopped):
    """Rank 0 keeps the store here, so its silence is another case than rank 1's."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = str(free.getsockname()[1])
    env = os.environ | dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
    env['PYTHONPATH'] = str(SCRIPT.parents[2])
    started = [
        subprocess.Popen(
            [sys.executable, SCRIPT, rank, port, stopped],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in '01'
    ]
    try:
        waiting = started[0 if stopped == '1' else 1]
        out, err = waiting.communicate(timeout=120)
        assert out.startswith('met')
        if stopped == 'none':
            assert waiting.returncode == 0 and 'done' in out, err
        else:
            assert waiting.returncode == 1
            assert 'no sign of' in err and f'rank {stopped}' in err, err
    finally:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
