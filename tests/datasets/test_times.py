"""Times are those of the frames, whatever the header's rate says."""

from fractions import Fraction

import av
import numpy as np
import pytest

from mmstadapter import open_video
from mmstadapter.datasets.timing import average_rate, timetable

# 24 seconds: 20 frames at 25 a second, 10 at 0.6, 20 at 12.5.
TICKS = np.array([*range(20), *range(100, 500, 40), *range(560, 600, 2)])
QUIET = {'libx264': {'x264-params': 'log-level=error'}, 'libx265': {'x265-params': 'log-level=1'}}
FILES = {
    'h264.mp4': 'libx264',
    'h264.mkv': 'libx264',
    'h264.ts': 'libx264',
    'h264.flv': 'libx264',
    'h264_reordered.avi': 'libx264',
    'hevc.mp4': 'libx265',
    'hevc.mkv': 'libx265',
    'vp8.webm': 'libvpx',
    'vp9.webm': 'libvpx-vp9',
    'av1.mp4': 'libsvtav1',
    'part2.avi': 'mpeg4',
    'part2.ts': 'mpeg4',
    'flash.flv': 'flv',
    'mpeg2.ts': 'mpeg2video',
    'media.wmv': 'wmv2',
}


def write(path, codec: str, ticks=TICKS):
    """Frames shown at these twenty-fifths of a second."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = QUIET.get(codec, {})
        stream.codec_context.time_base = Fraction(1, 25)
        for number, tick in enumerate(ticks):
            image = np.full((48, 64, 3), number * 5, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            frame.pts, frame.time_base = int(tick), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


@pytest.mark.parametrize('name', FILES)
class TestFramesAtVaryingDistances:
    def test_each_has_its_own_time(self, tmp_path, name):
        video = open_video(write(tmp_path / name, FILES[name]))
        np.testing.assert_allclose(video.times[:-1], TICKS / 25, atol=1e-3)
        assert 23.92 < video.times[-1] <= 24.01

    def test_the_average_rate_is_that_of_the_whole(self, tmp_path, name):
        assert open_video(write(tmp_path / name, FILES[name])).fps == pytest.approx(50 / 24, 0.01)


@pytest.mark.parametrize('name', FILES)
def test_a_constant_rate_stays_what_the_header_states(tmp_path, name):
    video = open_video(write(tmp_path / name, FILES[name], range(30)))
    with av.open(str(tmp_path / name)) as container:
        stated = float(container.streams.video[0].average_rate or 25)
    assert video.fps == pytest.approx(stated, 1e-9) and stated == 25
    np.testing.assert_allclose(video.times, np.arange(31) / 25, atol=2e-3)


class TestTimetable:
    def test_the_last_frame_stays_as_long_as_its_packet_says(self):
        np.testing.assert_allclose(timetable([10, 14, 18], 40, 0.1, 25), [0, 0.4, 0.8, 4.8])

    def test_or_as_long_as_the_others(self):
        np.testing.assert_allclose(timetable([0, 4, 8, 90], 0, 0.1, 25), [0, 0.4, 0.8, 9, 9.4])

    @pytest.mark.parametrize('ticks', [[0, None, 2], [0, 1, 1], [5, 6, 0]])
    def test_frames_without_a_time_of_their_own_are_spaced_by_the_stated_rate(self, ticks):
        np.testing.assert_allclose(timetable(ticks, 1, 0.1, 10), [0, 0.1, 0.2, 0.3])

    def test_a_rate_of_zero_is_no_rate(self):
        np.testing.assert_allclose(timetable([None, None], 0, 0.1, 0), [0, 0.04, 0.08])

    def test_a_rate_of_zero_is_replaced_by_the_frames_own(self):
        """As Theora has it."""
        times = timetable(list(range(12)), 1, 1 / 24, 0)
        assert average_rate(times, 1 / 24, 0) == pytest.approx(24)

    def test_rounded_times_do_not_change_the_stated_rate(self):
        times = timetable([0, 33, 67], 33, 0.001, 30)
        assert average_rate(times, 0.001, 30) == 30
