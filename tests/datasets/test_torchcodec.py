"""reader='torchcodec': the frames of PyAV where the packets prove it, else a refusal."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from mmstadapter import VideoInit, open_video

from .test_readers import FOR_DECORD, NOT_FOR_DECORD

needs_torchcodec = pytest.mark.skipif(
    importlib.util.find_spec('torchcodec') is None, reason='torchcodec is not installed'
)
# Prints for each file whether all frames, a few of them and one repeated are those of PyAV.
COMPARE = """
import json, sys
import numpy as np
from mmstadapter import VideoReadError, open_video
found = {}
for path in sys.argv[1:]:
    try:
        theirs, ours = open_video(path, 'torchcodec'), open_video(path)
        asked = (range(len(ours)), [len(ours) - 1, 0, 0, len(ours) // 2])
        found[path] = type(theirs).__name__ * all(
            np.array_equal(theirs.read(indices), ours.read(indices)) for indices in asked
        )
    except VideoReadError as error:
        found[path] = str(error)
print(json.dumps(found))
"""


@pytest.fixture
def compared(tmp_path):
    """Runs COMPARE beside the FFmpeg that PyAV brings, under the names torchcodec looks for."""

    def run(*paths: Path) -> list[str]:
        brought = Path(av.__file__).parents[1] / 'av.libs'
        for file in brought.glob('lib[as][vw]*-*.so.*'):
            name, _, rest = file.name.partition('-')
            version = rest.partition('.so.')[2].partition('.')[0]
            (tmp_path / f'{name}.so.{version}').symlink_to(file)
        line = [sys.executable, '-c', COMPARE, *map(str, paths)]
        env = os.environ | {'LD_LIBRARY_PATH': f'{tmp_path}:{brought}'}
        done = subprocess.run(line, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        return [found[str(path)] for path in paths]

    return run


@needs_torchcodec
@pytest.mark.slow
@pytest.mark.processes
def test_frames_are_those_of_pyav_where_the_packets_tell_them(video, compared):
    paths = [video(name, **settings) for name, settings in FOR_DECORD.items()]
    assert compared(*paths) == ['TorchcodecReader'] * len(paths)


@needs_torchcodec
@pytest.mark.slow
@pytest.mark.processes
def test_other_files_are_refused(video, compared):
    paths = [video(name, **settings) for name, settings in NOT_FOR_DECORD.items()]
    for said in compared(*paths):
        assert 'torchcodec may give other frames' in said and "set reader='pyav'" in said


def asks():
    yield lambda: open_video('no.mp4', 'torchcodec')
    yield lambda: VideoInit(reader='torchcodec')


def test_without_torchcodec_it_is_refused_before_a_video_is_opened(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchcodec.decoders', None)
    for ask in asks():
        with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[torchcodec\]'.*pyav"):
            ask()


def test_without_ffmpeg_it_says_what_torchcodec_misses(monkeypatch, tmp_path):
    (tmp_path / 'torchcodec').mkdir()
    (tmp_path / 'torchcodec/__init__.py').write_text(
        "raise RuntimeError('Could not load libtorchcodec.\\nMore.')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.partition('.')[0] == 'torchcodec']:
        monkeypatch.delitem(sys.modules, name)
    for ask in asks():
        with pytest.raises(ImportError, match=r'libraries of FFmpeg .*\(Could not load libt'):
            ask()
