"""Every frame of every kind of file is the right one, in any order of asking."""

import pickle
import sys
from unittest.mock import Mock

import numpy as np
import pytest

from mmstadapter import VideoInit, VideoReadError, open_video
from mmstadapter.datasets.packets import packets_of

from .conftest import (
    CLOSED,
    LONG,
    OPEN,
    REFRESH,
    copy_from,
    cut_short,
    flip_bits,
    number_of,
    rotate_header,
    write_audio,
    write_video,
)

X265 = {'x265-params': 'keyint=12:log-level=error'}
FAST = {'deadline': 'realtime', 'cpu-used': '5', 'g': '15', 'auto-alt-ref': '1'}

# Files on which decord is exact, and on which it is not (all but the first two found here).
FOR_DECORD = {
    'closed.mp4': dict(options=CLOSED),
    'long.mp4': dict(options=LONG),
    'intra.mp4': dict(options={'g': '1', 'x264-params': 'log-level=error'}),
    'plain.mkv': dict(),
    'fragments.mp4': dict(container_options={'movflags': 'frag_keyframe+empty_moov'}),
    'first.mp4': dict(container_options={'movflags': 'faststart'}),
    'part2.mp4': dict(codec='mpeg4'),
    'vp9.webm': dict(codec='libvpx-vp9', options=FAST),
    'single.mp4': dict(frames=1),
    'two.mp4': dict(frames=2),
}
NOT_FOR_DECORD = {
    'h264.avi': dict(),
    'h264.ts': dict(),
    'part2.avi': dict(codec='mpeg4'),
    'part2_b.avi': dict(codec='mpeg4', max_b_frames=2),
    'part2_b.mp4': dict(codec='mpeg4', max_b_frames=2),
    'open.mp4': dict(options=OPEN),
    'open.mkv': dict(options=OPEN),
    'refresh.mp4': dict(options=REFRESH, frames=120),
    'hevc.mp4': dict(codec='libx265', options=X265),
    'mpeg2.mpg': dict(codec='mpeg2video'),
    'vp8.webm': dict(codec='libvpx'),
    'motion.avi': dict(codec='mjpeg', pix_fmt='yuvj420p'),
    'ten_bit.mp4': dict(pix_fmt='yuv420p10le'),
    'av1.mp4': dict(codec='libsvtav1', options={'preset': '12'}),
}


def assert_right_frames(reader, frames: int) -> None:
    """In order, at random with repetition, a few apart."""
    assert len(reader) == frames
    assert [number_of(frame) for frame in reader.read(range(frames))] == list(range(frames))
    mixed = np.random.default_rng(1).integers(0, frames, 2 * frames)
    assert [number_of(frame) for frame in reader.read(mixed)] == mixed.tolist()
    for index in (frames - 1, frames // 2, 0):
        (frame,) = reader.read([index])
        assert (number_of(frame), frame.dtype, frame.shape[2]) == (index, np.uint8, 3)


class TestEveryKindOfFile:
    @pytest.mark.parametrize('name', [*FOR_DECORD, *NOT_FOR_DECORD])
    @pytest.mark.parametrize('reader', ['pyav', 'auto'])
    def test_gives_the_right_frames(self, video, name, reader):
        settings = {**FOR_DECORD, **NOT_FOR_DECORD}[name]
        path = video(name, **settings)
        assert_right_frames(open_video(str(path), reader), settings.get('frames', 40))

    @pytest.mark.parametrize('name', FOR_DECORD)
    def test_decord_is_taken_where_it_is_exact(self, video, name):
        path = str(video(name, **FOR_DECORD[name]))
        assert type(open_video(path, 'auto')).__name__ == 'DecordReader'
        assert_right_frames(open_video(path, 'decord'), FOR_DECORD[name].get('frames', 40))

    @pytest.mark.parametrize('name', NOT_FOR_DECORD)
    def test_decord_is_refused_elsewhere(self, video, name):
        path = str(video(name, **NOT_FOR_DECORD[name]))
        with pytest.raises(VideoReadError, match="set reader='pyav'"):
            open_video(path, 'decord')

    def test_frames_of_both_readers_are_equal(self, video):
        path = str(video(options=CLOSED, noise=20))
        ours, theirs = (open_video(path, reader).read(range(40)) for reader in ('pyav', 'decord'))
        np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize('threads', [1, 3])
    def test_threads_change_nothing(self, video, threads):
        path = str(video('open.mkv', options=OPEN))
        assert_right_frames(open_video(path, num_threads=threads), 40)


class TestSizes:
    @pytest.mark.parametrize('width', [8, 16, 24, 32, 40, 48, 72, 80, 98])
    def test_every_width_is_read(self, video, width):
        path = str(video(size=(48, width), frames=12))
        for reader in ('pyav', 'auto'):
            assert open_video(path, reader).read([3])[0].shape == (48, width, 3)
            assert_right_frames(open_video(path, reader), 12)

    @pytest.mark.parametrize('width', [16, 24, 48, 72])
    def test_decord_fails_aloud_on_widths_it_cannot_copy(self, video, width):
        path = str(video(size=(48, width), frames=12))
        with pytest.raises(VideoReadError, match='decord: Check failed'):
            open_video(path, 'decord').read([3])

    def test_odd_sizes(self, video):
        path = str(video(size=(75, 97), pix_fmt='yuv444p'))
        assert_right_frames(open_video(path), 40)

    @pytest.mark.parametrize('degrees', [90, 180, 270])
    def test_a_noted_rotation_is_applied(self, video, tmp_path, degrees):
        flat = video('flat.mp4')
        turned = str(rotate_header(flat, tmp_path / 'turned.mp4', degrees))
        (upright,) = open_video(str(flat)).read([5])
        for reader in ('pyav', 'auto'):
            (frame,) = open_video(turned, reader).read([5])
            np.testing.assert_array_equal(frame, np.rot90(upright, -degrees // 90))


class TestEditLists:
    def test_hidden_frames_are_not_counted(self, video, tmp_path):
        cut = copy_from(video('whole.mp4', options=CLOSED), tmp_path / 'cut.mp4', first=17)
        reader = open_video(str(cut), 'auto')
        shown = [number_of(frame) for frame in reader.read(range(len(reader)))]
        assert shown == list(range(17, 40))


class TestWithoutDecord:
    @pytest.fixture(autouse=True)
    def no_decord(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'decord', None)

    def test_auto_reads_with_pyav(self, video):
        path = video('closed.mp4', options=CLOSED)
        assert type(open_video(str(path), 'auto')).__name__ == 'PyAVReader'

    def test_decord_is_refused_before_a_video_is_opened(self):
        for make in (lambda: open_video('no.mp4', 'decord'), lambda: VideoInit(reader='decord')):
            with pytest.raises(ImportError, match="not installed .*Set reader='pyav'"):
                make()


class TestBrokenFiles:
    def refuses(self, path, words):
        for reader in ('pyav', 'auto', 'decord'):
            with pytest.raises(VideoReadError, match=words) as caught:
                video = open_video(str(path), reader)
                video.read(range(len(video)))
            assert caught.value.path == str(path)

    def test_missing(self, tmp_path):
        self.refuses(tmp_path / 'no.mp4', 'cannot be opened: no such file')

    def test_folder(self, tmp_path):
        self.refuses(tmp_path, 'cannot be opened')

    @pytest.mark.parametrize('content', [b'', b'not a video\n' * 99, bytes(range(256)) * 99])
    def test_empty_text_and_rubbish(self, tmp_path, content):
        path = tmp_path / 'rubbish.mp4'
        path.write_bytes(content)
        self.refuses(path, 'cannot be opened')

    def test_audio_only(self, tmp_path):
        self.refuses(write_audio(tmp_path / 'sound.mp4'), 'has no video stream, only audio')

    def test_unknown_codec(self, video, tmp_path):
        path = tmp_path / 'odd.mp4'
        path.write_bytes(video().read_bytes().replace(b'avc1', b'zzzz'))
        self.refuses(path, 'a codec that FFmpeg does not know')

    @pytest.mark.parametrize(
        ('name', 'codec', 'options'),
        [
            ('index_at_end.mp4', 'libx264', {}),
            ('index_first.mp4', 'libx264', {'movflags': 'faststart'}),
            ('h264.mkv', 'libx264', {}),
            ('part2.avi', 'mpeg4', {}),
            ('vp9.webm', 'libvpx-vp9', {}),
        ],
    )
    def test_cut_short(self, tmp_path, name, codec, options):
        whole = tmp_path / f'whole_{name}'
        write_video(whole, 60, codec=codec, container_options=options, noise=15)
        self.refuses(cut_short(whole, tmp_path / name), 'cut short|cannot be opened')

    @pytest.mark.parametrize('name', ['x.mp4', 'x.mkv', 'x.ts', 'x.avi'])
    def test_damage_inside_is_noticed_by_pyav(self, tmp_path, name):
        """Wherever it falls; x264 writes other bytes in every run."""
        whole = write_video(tmp_path / f'whole_{name}', 60, noise=15)
        for seed in range(12):
            damaged = flip_bits(whole, tmp_path / name, seed)
            with pytest.raises(VideoReadError, match='damaged|cut short|other frames'):
                reader = open_video(str(damaged))
                reader.read(range(len(reader)))

    def test_a_stream_that_appears_late_is_named_where_pyav_fails_on_it(self):
        """PyAV 18 gives no such streams packets, and ends with an IndexError at times."""
        container = Mock()
        container.demux.side_effect = [iter(['packet']), IndexError('list index out of range')]
        assert list(packets_of(container, 'x.ts')) == ['packet']
        with pytest.raises(VideoReadError, match='x.ts: is damaged: a stream appears'):
            list(packets_of(container, 'x.ts'))

    def test_frames_that_are_gone_when_decoded_again(self, video, monkeypatch):
        reader = open_video(str(video('x.avi', codec='mpeg4')))
        assert len(reader) == 40
        monkeypatch.setattr(reader, '_decode', lambda container: iter([]))
        with pytest.raises(
            VideoReadError, match='gave 40 frames at first and 0 when decoded again'
        ):
            reader.read([3])

    def test_more_frames_asked_than_there_are(self, video):
        with pytest.raises(VideoReadError, match='has frames 0 to 39, asked for 3 to 40'):
            open_video(str(video())).read([3, 40])

    def test_unknown_reader(self):
        with pytest.raises(ValueError, match='reader must be one of'):
            open_video('x.mp4', 'opencv')

    def test_the_error_travels_between_processes(self):
        error = pickle.loads(pickle.dumps(VideoReadError('a.mp4', 'is cut short')))
        assert (error.path, error.reason) == ('a.mp4', 'is cut short')
        assert str(error) == 'a.mp4: is cut short'


def test_titles_that_are_no_text_do_no_harm(video, tmp_path):
    path = tmp_path / 'odd.mp4'
    path.write_bytes(video().read_bytes().replace(b'Lavf', b'\xff\xfe\xff\xfe'))
    assert_right_frames(open_video(str(path)), 40)


def test_files_that_are_not_local_are_read_from_memory(video):
    path = str(video('h264.avi'))
    assert_right_frames(open_video(path, backend_args=dict(backend='local')), 40)
