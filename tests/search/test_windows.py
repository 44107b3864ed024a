"""Videos are cut in time, and each part goes through the model's own pipeline."""

from fractions import Fraction

import av
import numpy as np
import pytest
from mmengine.dataset import Compose

from mmstadapter.datasets import open_video
from mmstadapter.datasets.packets import VideoReadError
from mmstadapter.search.windows import OnePassReader, Window, cut, frame_times, segments

from .conftest import write_video

STEPS = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=4, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=()),
]


def steps(*changed: dict) -> list:
    """The pipeline's transforms, a changed step in the place of the one of its type."""
    by_type = {step['type']: step for step in changed}
    return Compose([by_type.get(step['type'], step) for step in STEPS]).transforms


class TestCut:
    def test_parts_are_equal_and_as_near_as_can_be_to_what_was_asked(self):
        times = np.arange(250) / 10
        assert cut(times, 25.0, 10)[0] == (0, 125, 0.0, 12.5)
        assert [part[:2] for part in cut(times, 25.0, 8)] == [(0, 84), (84, 83), (167, 83)]

    def test_a_short_video_is_one_part_and_zero_means_whole(self):
        assert cut(np.arange(5) / 10, 0.5, 10) == [(0, 5, 0.0, 0.5)]
        assert cut(np.arange(500) / 10, 50.0, 0) == [(0, 500, 0.0, 50.0)]

    @pytest.mark.parametrize('seconds', [1e-3, 1e-12, 5e-324])
    def test_there_are_no_more_parts_than_frames(self, seconds):
        times = np.arange(50) / 10
        parts = cut(times, 5.0, seconds)
        assert [part[:2] for part in parts] == [(number, 1) for number in range(50)]

    def test_parts_hold_every_frame_once(self):
        times = np.sort(np.random.default_rng(0).uniform(0, 60, 99))
        times -= times[0]
        parts = cut(times, 60.0, 4)
        assert [first for first, *_ in parts[1:]] == [f + n for f, n, *_ in parts[:-1]]
        assert parts[0][0] == 0 and sum(parts[-1][:2]) == 99

    def test_a_time_without_frames_is_no_part(self):
        parts = cut(np.array([0.0, 1.0, 29.0]), 30.0, 10)
        assert [(start, end) for _, _, start, end in parts] == [(0, 10), (20, 30)]


class TestSegments:
    def test_each_is_the_pipeline_on_that_part_of_the_video(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', 60, seconds=12)
        found = list(segments(str(path), steps(), seconds=4))
        assert [(s.start, s.end) for s in found] == [(0, 4), (4, 8), (8, 12)]
        frames = open_video(str(path)).read([20 + i for i in (2, 7, 12, 16)])  # of 20 to 39
        for given, expected in zip(found[1].clip.unbind(1), frames, strict=True):
            np.testing.assert_array_equal(given.permute(1, 2, 0).numpy(), expected)

    def test_a_part_shorter_than_the_clip_repeats_frames(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', 60, seconds=0.4)
        (only,) = segments(str(path), steps(), seconds=4)
        assert tuple(only.clip.shape) == (3, 4, 48, 64)

    def test_a_file_whose_frames_must_be_counted_is_decoded_once_for_all_parts(
        self, tmp_path, monkeypatch
    ):
        path = write_video(tmp_path / 'a.avi', 60, seconds=12, codec='mpeg4')
        assert open_video(str(path)).facts.times is None
        whole = [s.clip for s in segments(str(path), steps(), seconds=0)]
        opened = []
        monkeypatch.setattr(OnePassReader, '_restart', _counting(OnePassReader._restart, opened))
        found = list(segments(str(path), steps(), seconds=3))
        assert len(found) == 4 and len(opened) == 1
        frames = open_video(str(path)).read([45 + i for i in (2, 5, 8, 12)])
        for given, expected in zip(found[3].clip.unbind(1), frames, strict=True):
            np.testing.assert_array_equal(given.permute(1, 2, 0).numpy(), expected)
        assert len(whole) == 1

    def test_one_pass_reading_takes_frames_in_any_order_and_again(self, tmp_path):
        path = write_video(tmp_path / 'a.avi', 60, seconds=4, codec='mpeg4')
        plain = open_video(str(path))
        reader = OnePassReader(plain)
        for wanted in ([3, 3, 5], [5, 6], [19], [2], [0]):
            for given, expected in zip(reader.read(wanted), plain.read(wanted), strict=True):
                np.testing.assert_array_equal(given, expected)
        reader.close()

    def test_times_are_those_of_the_frames_where_their_distance_varies(self, tmp_path):
        path = tmp_path / 'a.mp4'
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            stream.options = {'x264-params': 'log-level=error'}
            for number, tick in enumerate([0, 1, 2, 50, 51]):  # tenths of a second
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), 'rgb24')
                frame.pts = tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        times, _ = frame_times(open_video(str(path)))
        np.testing.assert_allclose(times, [0, 0.1, 0.2, 5.0, 5.1], atol=1e-3)

    def test_a_broken_video_raises_what_readers_raise(self, tmp_path):
        (tmp_path / 'a.mp4').write_bytes(b'no video')
        with pytest.raises(VideoReadError):
            list(segments(str(tmp_path / 'a.mp4'), steps(), 4))

    def test_a_pipeline_of_several_views_is_refused(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', 60)
        several = dict(
            type='mmstadapter.SampleStride',
            clip_len=4, frame_interval=1, num_views=2, test_mode=True,
        )  # fmt: skip
        pipeline = Compose([several if i == 1 else s for i, s in enumerate(STEPS)]).transforms
        with pytest.raises(ValueError, match='num_views=1'):
            list(segments(str(path), pipeline, 4))

    def test_a_pipeline_that_opens_no_video_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match='mmstadapter.VideoInit'):
            list(segments('a.mp4', [], 4))

    def test_frames_beyond_the_part_are_refused(self, tmp_path):
        reader = open_video(str(write_video(tmp_path / 'a.mp4', 60)))
        with pytest.raises(VideoReadError, match='total_frames'):
            Window(reader, 5, 5).read([5])


def _counting(method, calls: list):
    def counted(self) -> None:
        calls.append(1)
        method(self)

    return counted


@pytest.mark.parametrize(
    ('name', 'codec'),
    [('a.mp4', 'libx264'), ('a.mkv', 'libx265'), ('a.webm', 'libvpx'), ('a.ts', 'libx264')],
)
def test_segments_are_as_long_as_asked_where_the_rate_varies(tmp_path, name, codec):
    """Two seconds at 10 a second, then 22 at one: the rate of the header says nothing."""
    path = str(tmp_path / name)
    with av.open(path, 'w') as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x265-params': 'log-level=error'} if codec == 'libx265' else {}
        stream.codec_context.time_base = Fraction(1, 10)
        for number, tick in enumerate([*range(20), *range(20, 240, 10)]):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), 'rgb24')
            frame.pts, frame.time_base = tick, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = list(segments(path, steps(), seconds=4))
    assert len(found) == 6
    np.testing.assert_allclose([s.start for s in found], np.arange(6) * 4, atol=1)
