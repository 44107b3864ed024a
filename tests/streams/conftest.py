"""Tiny adapters of several methods, and a video of noise."""

from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from mmstadapter import Predictor
from mmstadapter.testing import write_noise_video, write_tiny_adapter

METHODS = {
    'side4video': dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8),
    'st_adapter': dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8),
    'st_adapter-last': dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8, blocks='last_1'),
    'evl': dict(type='mmstadapter.EVLViT', blocks='last_2', num_frames=4),
    'dist': dict(
        type='mmstadapter.DiSTViT', num_frames=4, dims=16, temporal_dims=8, output_dims=16
    ),
    'probe': dict(type='mmstadapter.ProbeViT', depth=1, num_heads=2),
    'linear': dict(type='mmstadapter.FrameMeanViT'),
    'aim': dict(type='mmstadapter.AIMViT', num_frames=4),
    'tds': dict(type='mmstadapter.TDSCLIPViT', side_dims=32, head_dims=16, num_diff=3),
}
SPREAD = dict(type='mmstadapter.SampleSegments', clip_len=4, test_mode=True)
STRIDE = dict(type='mmstadapter.SampleStride', clip_len=4, frame_interval=2, test_mode=True)


@pytest.fixture(scope='session')
def predictor(tmp_path_factory):
    """Gives a predictor by method and options."""

    @cache
    def made(method: str, spread: bool = False) -> Predictor:
        folder = tmp_path_factory.mktemp(method)
        sampling: list = [SPREAD if spread else STRIDE]
        if method == 'tds':
            sampling.append(dict(type='mmstadapter.AddNeighbours', num_diff=3))
        options = dict(backbone=METHODS[method], sampling=sampling, labels=['a', 'b', 'c'])
        found = Predictor(path := write_tiny_adapter(folder, **options), device='cpu')
        found.path = path
        return found

    return made


@pytest.fixture(scope='session')
def video(tmp_path_factory) -> Path:
    """44 frames, 8 a second."""
    return Path(write_noise_video(tmp_path_factory.mktemp('video') / 'long.mp4', frames=44))


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format='rgb24') for f in container.decode(video=0)])


@pytest.fixture(scope='session')
def frames(video) -> np.ndarray:
    return frames_of(video)
