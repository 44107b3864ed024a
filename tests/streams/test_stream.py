"""A stream gives what clip mode gives for the latest clip, and keeps no more than that."""

import av
import numpy as np
import pytest
import torch

import mmstadapter
from mmstadapter import Stream

from .conftest import METHODS

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in METHODS if name != 'side4video']


@pytest.mark.parametrize('method', ['side4video', *SLOW])
def test_it_gives_what_clip_mode_gives_of_the_latest_clip(predictor, frames, method):
    model = predictor(method)
    stream = Stream(model)
    found = [(n, entry) for n, frame in enumerate(frames[:14]) if (entry := stream.push(frame))]
    last = 8 if method == 'tds' else 6  # whose clips reach a frame further on both sides
    assert [n for n, _ in found] == [entry['frame'] for _, entry in found]
    assert [n for n, _ in found] == list(range(last, 14, 2))
    expected = model([frames[n - last : n + 1] for n, _ in found], fps=8)
    for (_, entry), clip in zip(found, expected, strict=True):
        assert entry['labels'] == clip['labels'] and entry['label'] == clip['label']
        assert entry['scores'] == pytest.approx(clip['scores'], abs=1e-5)


@pytest.mark.parametrize('method', ['side4video', 'linear', 'evl'])
def test_a_frame_that_is_read_passes_the_trunk_once(predictor, frames, method):
    stream = Stream(predictor(method))
    for n, frame in enumerate(frames):
        assert stream.reads_next == (n % 2 == 0)
        stream.push(frame if stream.reads_next else None)
    assert stream.model.passes == 22  # every second of 44
    assert len(stream.model.frames) == len(stream.model.looked) == 3


def test_st_adapter_reuses_what_lies_before_its_first_adapter(predictor, frames):
    stream = Stream(predictor('st_adapter-last'))
    looked, look = [], stream.model.backbone.look
    stream.model.backbone.look = lambda images: looked.append(len(images)) or look(images)
    try:
        for frame in frames[:12]:
            stream.push(frame)
    finally:
        del stream.model.backbone.look
    assert looked == [1] * 6  # each frame once through blocks 0 and 1
    assert stream.model.passes == 3 * 4  # three clips through block 2


@torch.inference_mode()
def test_it_is_bit_equal_where_clip_mode_takes_frames_one_by_one(predictor, frames):
    model = predictor('side4video')
    stream = Stream(model)
    backbone, whole = model.model.backbone, []
    backbone.frames_per_pass = 1
    for frame in frames[:8]:
        found = stream.push(frame)
        whole.append(stream.model.prepare(frame))
        if found:
            clip = torch.stack([x[0] for x in whole[found['frame'] - 6 :: 2]], dim=1)
            scores = model.model.cls_head(backbone(clip[None])).softmax(-1)[0]
            assert found['scores'] == [round(x, 6) for x in sorted(scores.tolist(), reverse=True)]
    backbone.frames_per_pass = 64


def test_memory_is_bounded_over_thousands_of_frames(predictor):
    stream = Stream(predictor('linear'), interval=40)
    rng = np.random.default_rng(0)
    some = rng.integers(0, 256, (16, 40, 48, 3), np.uint8)
    most = 0
    for n in range(3000):
        stream.push(some[n % 16] if stream.reads_next else None)
        most = max(most, len(stream.model.frames), len(stream.model.looked))
    assert stream.count == 3000 and most <= 4


def test_frames_of_pyav_are_taken(predictor, video, frames):
    stream, again = Stream(predictor('linear')), Stream(predictor('linear'))
    with av.open(str(video)) as container:
        for frame, array in zip(container.decode(video=0), frames[:9], strict=False):
            assert stream.push(frame) == again.push(array)


def test_after_a_break_a_new_clip_begins(predictor, frames):
    stream = Stream(predictor('linear'))
    for frame in frames[:9]:
        stream.push(frame)
    stream.restart()
    found = [entry['frame'] for frame in frames[:9] if (entry := stream.push(frame))]
    assert found == [15, 17] and stream.count == 18


def test_a_recipe_without_an_interval_needs_one(predictor, frames):
    with pytest.raises(ValueError, match='SampleSegments spreads its 4 frames over a whole video'):
        Stream(predictor('linear', True))
    stream = Stream(predictor('linear', True), interval=3)
    assert [n for n, frame in enumerate(frames[:14]) if stream.push(frame)] == [9, 12]
    with pytest.raises(ValueError, match='whole number from 1, got 0'):
        Stream(predictor('linear'), interval=0)


@pytest.mark.parametrize(
    ('frame', 'words'),
    [
        (np.zeros((40, 48, 3), np.float32), 'got float32'),
        (np.zeros((4, 40, 48, 3), np.uint8), r'got uint8 \(4, 40, 48, 3\)'),
        (None, 'got NoneType'),
    ],
    ids=str,
)
def test_other_frames_are_refused(predictor, frame, words):
    with pytest.raises(ValueError, match=f'^Stream: a frame must be .*{words}'):
        Stream(predictor('linear')).push(frame)


def test_something_that_is_no_model_is_refused():
    with pytest.raises(ValueError, match='Stream: needs an adapter file.*got int'):
        Stream(3)


def test_steps_that_treat_a_clips_frames_together_are_refused(tmp_path):
    from mmstadapter.testing import write_tiny_adapter

    spatial = [dict(type='RandomCrop', size=32)]
    with pytest.raises(ValueError, match='must treat every frame by itself'):
        mmstadapter.Stream(write_tiny_adapter(tmp_path, spatial=spatial), device='cpu')


def test_views_of_a_frame_are_averaged(tmp_path, frames):
    from mmstadapter import Predictor
    from mmstadapter.testing import write_tiny_adapter

    from .conftest import METHODS, STRIDE

    spatial = [
        dict(type='mmstadapter.ResizeShortSide', size=32),
        dict(type='ThreeCrop', crop_size=32),
    ]
    options = dict(spatial=spatial, sampling=STRIDE | dict(num_views=2))
    path = write_tiny_adapter(tmp_path, backbone=METHODS['side4video'], **options)
    model = Predictor(path, device='cpu')
    (expected,) = model([frames[:10]], fps=8)
    found = mmstadapter.timeline(model, frames[:10], 2, 1, fps=8)
    assert sorted(found.scores[0], reverse=True) == pytest.approx(expected['scores'], abs=1e-5)


def test_a_window_in_seconds_stands_for_an_interval(predictor):
    assert Stream(predictor('linear', True), fps=16).interval == 16  # 4 s, 4 frames
    assert Stream(predictor('linear', True), window=2, fps=25).interval == 12
    assert Stream(predictor('linear'), fps=25).interval == 2  # the recipe's
    assert Stream(predictor('linear'), window=1, fps=25).interval == 6
    for words in (dict(window=0, fps=25), dict(window=1), dict(fps=-1)):
        with pytest.raises(ValueError, match='seconds and frames a second, both above zero'):
            Stream(predictor('linear', True), **words)


def test_of_several_clips_that_are_complete_the_latest_is_labelled(predictor, frames):
    stream, again = Stream(predictor('linear')), Stream(predictor('linear'))
    complete = [n for n, frame in enumerate(frames[:12]) if stream.put(frame)]
    (*_, expected, _) = [again.push(frame) for frame in frames[:12]]
    assert complete == [6, 8, 10] and stream.latest() == expected
    with pytest.raises(RuntimeError, match='no further clip is complete'):
        stream.latest()
