"""Several processes make one index, whichever of them dies."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import mmstadapter
from mmstadapter.search.manifest import Manifest
from mmstadapter.search.sharing import Team, collecting

from .conftest import write_video

ROOT = Path(__file__).parents[2]
KILL = """
import os, signal
from mmstadapter.search import folder
folder.COMMIT_SECONDS = 0
done = folder.Progress.done
def die(self, *args):
    done(self, *args)
    if os.environ['RANK'] == '1' and self.number == 2:
        os.kill(os.getpid(), signal.{signal})
folder.Progress.done = die
"""


def start(arguments: list, first: str = '') -> list[subprocess.Popen]:
    """Two processes of ``mmstadapter index``, as a launcher that watches nobody starts them."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = str(free.getsockname()[1])
    program = f'{textwrap.dedent(first)}\nfrom mmstadapter.commands.index import main\nmain()'
    env = os.environ | dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1', PYTHONPATH=str(ROOT))
    env |= dict(WORLD_SIZE='2', MASTER_ADDR='localhost', MASTER_PORT=port)
    return [
        subprocess.Popen(
            [sys.executable, '-c', program, *map(str, arguments)],
            env=env | dict(RANK=rank),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in '01'
    ]


def end(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Status, output and errors of each."""
    try:
        said = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def features_of(index: Path) -> dict:
    """Spans and features of each video."""
    opened, videos = mmstadapter.VideoIndex(index), Manifest.read(index).videos
    return {
        path: {name: column[video.start : video.stop] for name, column in opened.columns.items()}
        for path, video in videos.items()
    }


@pytest.mark.slow
@pytest.mark.processes
def test_two_processes_of_which_one_is_killed_make_the_index_of_one(
    library, model, model_config, tmp_path
):
    library = shutil.copytree(library, tmp_path / 'videos')
    for number in range(4):
        write_video(library / f'more/{number}.mp4', 40 + 9 * number, seconds=2)
    mmstadapter.index_videos(library, tmp_path / 'one', model, 4, batch_size=1, say=str)
    ask = [library, '--index', tmp_path / 'two', '--config', model_config, '--device', 'cpu']
    ask += ['--seconds', 4, '--batch-size', 1, '--silence', 4]

    (status, _, said), (killed, *_) = end(start(ask, KILL.format(signal='SIGKILL')))
    assert killed == -signal.SIGKILL and status == 1
    assert 'Rank 0 of 2 ends: no sign of rank 1 (' in said and '--silence' in said
    before = features_of(tmp_path / 'two')
    assert before  # what was committed stays

    (first, output, said), (second, nothing, _) = end(start(ask))
    assert (first, second) == (0, 0), said
    assert '9 segments of 7 videos' in output and nothing == ''
    assert f'{8 - len(before)} new' in said or f'{7 - len(before)} new' in said
    one, two = features_of(tmp_path / 'one'), features_of(tmp_path / 'two')
    assert one.keys() == two.keys() and len(one) == 7
    for path, columns in one.items():
        for name, column in columns.items():
            torch.testing.assert_close(two[path][name], column, rtol=1e-3, atol=1e-3)
    bad = [list(Manifest.read(tmp_path / name).bad) for name in ('one', 'two')]
    assert bad == [['broken.mp4'], ['broken.mp4']]


class Fake(Team):
    """One process of several, whose meetings are noted."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.is_over, self.met = rank, size, False, []

    def meet(self, part, writer):
        self.met.append(part)
        return len(self.met) >= 3, []


def test_shares_are_all_videos_once_and_about_equal():
    sizes = [1, 50, 2, 40, 30, 3]
    shares = [Fake(rank, 2).share(sizes, int) for rank in range(2)]
    assert sorted(sum(shares, [])) == sorted(sizes)
    assert [sum(share) for share in shares] == [82, 44]
    assert Fake(0, 1).share(sizes, int) == sizes


def test_who_is_done_goes_on_meeting_until_all_are():
    team = Fake(1, 2)
    with collecting(team, None, None):
        pass
    assert [part.is_done for part in team.met] == [True, True, True]


def test_an_error_is_brought_to_the_others_and_raised():
    team = Fake(1, 2)
    with pytest.raises(MemoryError), collecting(team, None, None):
        raise MemoryError('full')
    assert team.met[0].error == 'MemoryError: full'


def test_nobody_is_waited_for_by_who_is_interrupted():
    team = Fake(1, 2)
    with pytest.raises(KeyboardInterrupt), collecting(team, None, None):
        raise KeyboardInterrupt
    assert team.met == []
