"""Small videos, a small retrieval model and an index of them."""

from pathlib import Path

import av
import numpy as np
import pytest

import mmstadapter
from mmstadapter.testing import TINY_ARCH, TINY_TEXT_ARCH, write_clip_file

WORDS = 'a bright dark grey video jumps into water'.split()
CONFIG = """
model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, format_shape='NCTHW'),
    backbone=dict(
        type='mmstadapter.FrameMeanViT', output='frames',
        trunk=dict(type='mmstadapter.CLIPViT', arch={arch}, with_proj=True, checkpoint={clip!r})),
    text_tower=dict(type='mmstadapter.CLIPText', arch={text}, checkpoint={clip!r}),
    tokenizer=dict(type='mmstadapter.WordTokenizer', words={words}, context_length=8),
    similarity=dict({similarity}))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=4, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=32),
    dict(type='mmstadapter.SpatialViews', size=32, num_crops=1),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]))
"""
MEAN_POOL = "type='mmstadapter.MeanPoolSimilarity'"
TOKENS = "type='mmstadapter.TokenSimilarity', embed_dims=16"


def write_video(
    path: Path, light: int, seconds: float = 4.0, codec: str = 'libx264', rate: int = 5
) -> Path:
    """A picture of that lightness, with a square that moves and grows lighter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(light)
    texture = rng.integers(0, 30, (48, 64, 3))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error:keyint=10'} if '264' in codec else {}
        for number in range(round(seconds * rate)):
            image = (light + texture).astype(np.uint8)
            image[10:30, number % 40 : number % 40 + 20] = (light + 5 * number) % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return path


def write_config(folder: Path, similarity: str = MEAN_POOL, name: str = 'model.py') -> Path:
    """A tiny CLIP and a config that compares captions with videos by it."""
    clip = folder / 'clip.safetensors'
    if not clip.is_file():
        write_clip_file(clip, seed=4)
    words = ['start', *WORDS]
    path = folder / name
    path.write_text(
        CONFIG.format(
            arch=dict(TINY_ARCH),
            text=dict(TINY_TEXT_ARCH) | dict(output_dims=TINY_ARCH['output_dims']),
            clip=str(clip),
            words=words,
            similarity=similarity,
        )
    )
    return path


@pytest.fixture(scope='session')
def model_config(tmp_path_factory) -> Path:
    """Config of a mean-pooled model all of whose weights are pretrained."""
    return write_config(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='session')
def model(model_config) -> mmstadapter.SearchModel:
    """That model."""
    return mmstadapter.SearchModel(model_config, device='cpu')


@pytest.fixture(scope='session')
def library(tmp_path_factory) -> Path:
    """Three videos of 12, 4 and 1 seconds, one of them in a folder, and a broken one."""
    folder = tmp_path_factory.mktemp('library')
    write_video(folder / 'bright.mp4', 180, seconds=12)
    write_video(folder / 'holidays/dark sea.mp4', 20)
    write_video(folder / 'short.mp4', 90, seconds=1)
    (folder / 'broken.mp4').write_bytes((folder / 'bright.mp4').read_bytes()[:400])
    (folder / 'notes.txt').write_text('no video')
    return folder
