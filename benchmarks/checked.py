"""What comparing a video with the table of `mmstadapter check` adds to reading it, in per cent.

Reading is opening the video and decoding 8 frames, all in CPU time over all threads. Without
arguments it makes its own videos, as benchmarks/decode.py does: 340x256, 3 s, 10 s and 3 minutes.

    OMP_NUM_THREADS=1 python benchmarks/checked.py [VIDEO ...] > benchmarks/checked_<machine>.md
"""

import datetime
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import torch
from decode import write_texture
from mmaction.registry import TRANSFORMS
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401  (registers the steps)
from mmstadapter.apis.checking import check_videos
from mmstadapter.datasets.checked import find

ROUNDS, INNER = 9, 20
STEPS = (
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=8, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
)


def cost(function: Callable[[], None], times: int) -> float:
    """CPU milliseconds of a call, over so many in a row."""
    start = time.process_time()
    for _ in range(times):
        function()
    return 1e3 * (time.process_time() - start) / times


def compare(path: str) -> None:
    """What VideoInit does besides opening: find the entry, look at the file."""
    entry = find(path)
    assert entry is not None
    entry.refuse_changed(path)


def row(path: Path, unchecked: Path) -> str:
    """A line of the table: rounds of reading a copy without a table, and of comparing."""
    steps = [TRANSFORMS.build(step) for step in STEPS]

    def read() -> None:
        results = dict(filename=str(unchecked), start_index=0)
        for step in steps:
            results = step(results)

    rounds = [(cost(read, 1), cost(lambda: compare(str(path)), INNER)) for _ in range(ROUNDS)]
    reading, comparing = (statistics.median(values) for values in zip(*rounds, strict=True))
    size = path.stat().st_size / 1e6
    share = 100 * comparing / reading
    return f'| {path.name} | {size:.2f} | {reading:.1f} | {comparing:.3f} | {share:.2f} |'


def main() -> None:
    """Print the report."""
    init_default_scope('mmaction')
    print('# Comparing a video with its table beside reading 8 frames of it\n')
    print(
        f'{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, '
        f'av {av.__version__}, {datetime.date.today()}; `python benchmarks/checked.py`\n'
    )
    print('| video | MB | reading, ms | comparing, ms | per cent |\n|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as root:
        known, copies = Path(root, 'known'), Path(root, 'copies')
        known.mkdir()
        for name in sys.argv[1:]:
            shutil.copy(name, known)
        if not sys.argv[1:]:
            for seconds in (3, 10, 180):
                write_texture(known / f'{seconds}_seconds.mp4', seconds)
        shutil.copytree(known, copies)
        check_videos(known)
        for path in sorted(known.glob('*.*[!l]'), key=lambda path: path.stat().st_size):
            print(row(path, copies / path.name))


if __name__ == '__main__':
    main()
