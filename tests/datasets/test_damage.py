"""Damage that FFmpeg tells in any way is an error; damage beside the pictures is none."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from mmstadapter import VideoReadError, open_video

from .conftest import CLOSED, copy_from, number_of, write_video

FRAMES = 48


def numbers(path) -> list[int]:
    """What all frames of a file show."""
    reader = open_video(str(path))
    return [number_of(frame) for frame in reader.read(range(len(reader)))]


def refuses(path, words: str) -> None:
    with pytest.raises(VideoReadError, match=words):
        numbers(path)


def copied(source, target, change=lambda index, packet: packet):
    """Another file of the packets that ``change(index, packet)`` gives, None for none."""
    with av.open(str(source)) as old, av.open(str(target), 'w') as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for index, packet in enumerate(old.demux(stream)):
            if packet.dts is not None and (packet := change(index, packet)) is not None:
                packet.stream = copy
                new.mux(packet)
    return target


class TestMatroska:
    @pytest.mark.parametrize('tenth', range(2, 9))
    @pytest.mark.parametrize('zeroed', [True, False])
    def test_a_lost_middle_is_noticed(self, tmp_path, tenth, zeroed):
        whole = write_video(tmp_path / 'a.mkv', FRAMES, noise=15).read_bytes()
        at, size = len(whole) * tenth // 10, len(whole) // 12
        path = tmp_path / 'b.mkv'
        path.write_bytes(whole[:at] + bytes(size if zeroed else 0) + whole[at + size :])
        refuses(path, 'damaged|cut short')

    @pytest.mark.parametrize('name', ['a.mkv', 'a.webm'])
    def test_whole_clusters_that_are_gone_are_noticed(self, tmp_path, name):
        """Nothing in between is wrong then; the header states the bytes of all."""
        codec = dict(codec='libvpx-vp9') if name == 'a.webm' else dict(options=CLOSED)
        options = {'cluster_time_limit': '400'}
        whole = write_video(tmp_path / name, FRAMES, container_options=options, **codec)
        content, mark = whole.read_bytes(), b'\x1f\x43\xb6\x75'
        parts = content.split(mark)
        assert len(parts) > 4
        whole.write_bytes(mark.join(parts[:2] + parts[4:]))
        refuses(whole, 'cut short')

    @pytest.mark.parametrize('late', [0.2, 3, 90])
    def test_a_first_picture_that_comes_late_is_no_damage(self, tmp_path, late):
        def change(index, packet):
            packet.pts += round(late / packet.time_base)
            packet.dts += round(late / packet.time_base)
            return packet

        source = write_video(tmp_path / 'a.mp4', FRAMES)
        path = copied(source, tmp_path / 'b.mkv', change)
        assert numbers(path) == list(range(FRAMES))
        assert open_video(str(path)).times[0] == 0

    @pytest.mark.parametrize('codec', ['libx264', 'libvpx', 'libx265'])
    def test_a_last_picture_that_stays_is_no_damage(self, tmp_path, codec):
        path = tmp_path / 'a.mkv'
        with av.open(str(path), 'w') as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            stream.options = {'x265-params': 'log-level=error'} if '265' in codec else {}
            sound = container.add_stream('flac', rate=8000)
            sound.layout = 'mono'
            for number in range(12):
                image = np.full((48, 64, 3), 20 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
            container.mux(stream.encode())
            silence = np.zeros((1, 8000 * 20), np.int16)
            frame = av.AudioFrame.from_ndarray(silence, 's16', 'mono')
            frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
        assert len(open_video(str(path))) == 12

    @pytest.mark.parametrize('times', [0.2, 9.0])
    def test_a_wrong_duration_is_no_damage(self, tmp_path, times):
        path = write_video(tmp_path / 'a.mkv', FRAMES)
        content = bytearray(path.read_bytes())
        at = content.index(b'\x44\x89\x88') + 3
        (stated,) = struct.unpack_from('>d', content, at)
        struct.pack_into('>d', content, at, stated * times)
        path.write_bytes(content)
        assert numbers(path) == list(range(FRAMES))


class TestHeadersThatStateMore:
    def test_sizes_of_an_mp4_that_are_gone(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', FRAMES)
        content = path.read_bytes()
        table = content.rindex(b'stsz') + 16
        path.write_bytes(content[:table] + bytes(48) + content[table + 48 :])
        refuses(path, r'states 48 frames, \d+ are there|damaged')

    @pytest.mark.parametrize('name', ['a.avi', 'b.avi'])
    def test_frames_of_an_avi_that_are_gone(self, tmp_path, name):
        options = dict(max_b_frames=2) if name == 'b.avi' else {}
        path = write_video(tmp_path / name, FRAMES, codec='mpeg4', **options)
        content = path.read_bytes()
        at = content.index(b'strh') + 40  # dwLength
        path.write_bytes(content[:at] + struct.pack('<I', 70) + content[at + 4 :])
        refuses(path, r'states 70 frames, 48 are there')

    @pytest.mark.parametrize('box', ['mvhd', 'mdhd', 'tkhd'])
    @pytest.mark.parametrize('times', [0.2, 9])
    def test_a_wrong_duration_is_no_damage(self, tmp_path, box, times):
        path = write_video(tmp_path / 'a.mp4', FRAMES, options={'x264-params': 'bframes=0'})
        content = bytearray(path.read_bytes())
        at = content.rindex(box.encode()) + (24 if box == 'tkhd' else 20)
        (stated,) = struct.unpack_from('>I', content, at)
        struct.pack_into('>I', content, at, round(stated * times))
        path.write_bytes(content)
        assert numbers(path) == list(range(FRAMES))


class TestTablesOfTimes:
    @pytest.mark.parametrize('codec', ['libx264', 'libx265'])
    @pytest.mark.parametrize('entry', [3, 9, 20, 30])
    def test_a_frame_put_beyond_the_end_is_missed(self, tmp_path, codec, entry):
        """FFmpeg drops it without a word, as if an edit list meant it."""
        options = CLOSED if codec == 'libx264' else {'x265-params': 'log-level=error:keyint=12'}
        path = write_video(tmp_path / 'a.mp4', FRAMES, codec=codec, options=options)
        content = bytearray(path.read_bytes())
        content[content.rindex(b'ctts') + 12 + 8 * entry + 5] ^= 8  # of the offset's upper half
        path.write_bytes(content)
        refuses(path, 'damaged|other frames')

    def test_frames_that_an_edit_list_hides_are_not_missed(self, tmp_path):
        whole = write_video(tmp_path / 'a.mp4', FRAMES, options=CLOSED)
        path = copy_from(whole, tmp_path / 'b.mp4', first=17)
        assert numbers(path) == list(range(17, FRAMES))


class TestMessagesBesideThePictures:
    """Supplemental information that is cut short, as drones and network cameras write it."""

    @pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.ts', 'a.flv'])
    @pytest.mark.parametrize('kind', [0, 1, 4, 5, 6, 45, 100])
    def test_of_h264(self, tmp_path, name, kind):
        whole = write_video(tmp_path / 'whole.mp4', FRAMES)
        unit = bytes([6, kind, 200]) + b'x' * 20
        path = copied(whole, tmp_path / name, _with(unit))
        assert numbers(path) == list(range(FRAMES))

    def test_where_every_reader_and_number_of_threads_is_asked(self, tmp_path):
        whole = write_video(tmp_path / 'whole.mp4', FRAMES)
        path = copied(whole, tmp_path / 'a.mp4', _with(bytes([6, 5, 200]) + b'x' * 20))
        for options in (dict(reader='auto'), dict(num_threads=3)):
            frames = open_video(str(path), **options).read(range(FRAMES))
            assert [number_of(frame) for frame in frames] == list(range(FRAMES))

    def test_of_hevc(self, tmp_path):
        options = {'x265-params': 'log-level=error'}
        whole = write_video(tmp_path / 'whole.mp4', FRAMES, codec='libx265', options=options)
        path = copied(whole, tmp_path / 'a.mp4', _with(bytes([78, 1, 5, 200]) + b'x' * 20))
        assert numbers(path) == list(range(FRAMES))


def _with(unit: bytes):
    """Put a unit before each picture."""

    def change(index, packet):
        longer = av.Packet(struct.pack('>I', len(unit)) + unit + bytes(packet))
        longer.pts, longer.dts, longer.duration = packet.pts, packet.dts, packet.duration
        longer.time_base, longer.is_keyframe = packet.time_base, packet.is_keyframe
        return longer

    return change


class TestPacketsThatAreLost:
    def test_of_a_transport_stream(self, tmp_path):
        path = write_video(tmp_path / 'a.ts', FRAMES, noise=15)
        content = path.read_bytes()
        middle = len(content) // 188 // 2 * 188
        path.write_bytes(content[:middle] + content[middle + 188 :])
        refuses(path, 'damaged')

    def test_two_transport_streams_behind_each_other_are_no_damage(self, tmp_path):
        path = write_video(tmp_path / 'a.ts', 20)
        path.write_bytes(path.read_bytes() * 2)
        assert numbers(path) == [*range(20), *range(20)]

    @pytest.mark.parametrize('first', [3, 7, 11])
    def test_a_recording_may_begin_between_key_frames(self, tmp_path, first):
        whole = write_video(tmp_path / 'whole.mp4', FRAMES, options=CLOSED)
        path = copied(whole, tmp_path / 'a.ts', lambda i, packet: packet if i >= first else None)
        shown = numbers(path)
        assert shown[-36:] == list(range(12, FRAMES)) and len(shown) < FRAMES

    @pytest.mark.parametrize('name', ['a.mkv', 'a.ts', 'a.flv', 'a.mp4'])
    def test_a_picture_that_others_are_made_from(self, tmp_path, name):
        """H.264 numbers them; nothing else shows that one is gone."""
        options = {'x264-params': 'bframes=0:keyint=100:log-level=error'}
        whole = write_video(tmp_path / 'whole.mp4', FRAMES, options=options)
        path = copied(whole, tmp_path / name, lambda i, packet: None if i == 20 else packet)
        refuses(path, 'a picture is missing')

    def test_vp8_that_ends_early(self, tmp_path):
        """FFmpeg looks for it only where it decodes in slices."""

        def shortened(index: int, packet: av.Packet) -> av.Packet:
            """Its motion vectors end after a fifth: RFC 6386, section 9.1, states their size."""
            if index != 20:
                return packet
            tag = int.from_bytes(bytes(packet)[:3], 'little')
            tag = (tag & 31) | ((tag >> 5) // 5 << 5)
            short = av.Packet(tag.to_bytes(3, 'little') + bytes(packet)[3:])
            short.pts, short.dts, short.time_base = packet.pts, packet.dts, packet.time_base
            return short

        whole = write_video(tmp_path / 'a.webm', FRAMES, codec='libvpx', noise=15)
        with pytest.raises(VideoReadError):
            numbers(copied(whole, tmp_path / 'b.webm', shortened))

    @pytest.mark.parametrize('threads', [1, 3])
    def test_threads_of_ffmpeg_hide_nothing(self, tmp_path, threads):
        options = {'x264-params': 'bframes=0:keyint=100:log-level=error'}
        whole = write_video(tmp_path / 'whole.mp4', FRAMES, options=options, noise=15)
        content = bytearray(whole.read_bytes())
        content[len(content) // 3 : len(content) // 2] = bytes(
            len(content) // 2 - len(content) // 3
        )
        whole.write_bytes(content)
        with pytest.raises(VideoReadError, match='damaged'):
            open_video(str(whole), num_threads=threads).read(range(FRAMES))


class TestErrorsOfOtherFiles:
    def test_the_same_words_are_heard_again(self, tmp_path):
        """PyAV leaves out a line that repeats the last, whatever file it is about."""
        whole = write_video(tmp_path / 'a.mkv', FRAMES, noise=15).read_bytes()
        for name in ('b.mkv', 'c.mkv'):
            path = tmp_path / name
            path.write_bytes(whole[: len(whole) // 2])
            refuses(path, 'damaged|cut short')

    def test_nothing_is_printed(self, tmp_path, capfd):
        path = tmp_path / 'b.mkv'
        path.write_bytes(write_video(tmp_path / 'a.mkv', FRAMES).read_bytes()[:2000])
        refuses(path, 'damaged|cut short')
        assert capfd.readouterr().err == ''

    def test_a_late_frame_has_its_time(self, tmp_path):
        path = tmp_path / 'a.mkv'
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=24)
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            for number in range(24):
                image = np.full((48, 64, 3), number, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                frame.pts, frame.time_base = number + 72, Fraction(1, 24)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        np.testing.assert_allclose(open_video(str(path)).times[:2], [0, 1 / 24], atol=1e-3)
