"""A long video in windows: the numbers, the cost, and odd videos."""

import csv
import json
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

import mmstadapter
from mmstadapter import VideoReadError
from mmstadapter.commands import timeline as command
from mmstadapter.datasets.readers import PyAVReader
from mmstadapter.streams.grid import Grid
from mmstadapter.streams.segments import Segment, merged
from mmstadapter.streams.writing import clock
from mmstadapter.testing import write_noise_video

from ..datasets.conftest import rotate_header
from .conftest import METHODS

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in METHODS if name != 'side4video']

ONCE = {'side4video', 'evl', 'dist', 'probe', 'linear', 'tds'}


class TestNumbers:
    @pytest.mark.parametrize('spread', [False, True], ids=['stride', 'segments'])
    @pytest.mark.parametrize('method', ['side4video', *SLOW])
    def test_they_are_those_of_window_by_window_prediction(
        self, predictor, video, frames, method, spread
    ):
        model = predictor(method, spread)
        found = mmstadapter.timeline(model, video, window=2, stride=0.5)
        assert found.windows == [(k / 2, k / 2 + 2) for k in range(8)]
        parts = [frames[4 * k : 4 * k + 16] for k in range(8)]
        expected = model(parts, fps=8)
        for row, entry in zip(found.scores, expected, strict=True):
            by_name = dict(zip(entry['labels'], entry['scores'], strict=True))
            assert row == pytest.approx([by_name[x] for x in found.labels], abs=1e-5)
        assert np.ptp(found.scores, axis=0).max() > 1e-3  # the windows differ

    @pytest.mark.parametrize('method', ['side4video', *SLOW])
    def test_frames_pass_the_trunk_once_where_the_method_stands_beside_it(
        self, predictor, video, method
    ):
        model, seen = predictor(method), []
        block = model.model.backbone.trunk.blocks[-1]
        attend = block.attend
        block.attend = lambda x, *a, **k: seen.append(x.shape[0]) or attend(x, *a, **k)
        try:
            cost = mmstadapter.timeline(model, video, window=2, stride=0.25).cost
        finally:
            del block.attend
        per_clip = 12 if method == 'tds' else 4
        assert cost['window_by_window'] == 15 * per_clip
        if method in ONCE:
            assert sum(seen) == cost['passes'] <= cost['used'] < 15 * per_clip
        else:
            assert cost['passes'] == 15 * per_clip

    def test_each_frame_is_decoded_once_and_only_used_ones_are_converted(
        self, predictor, video, monkeypatch
    ):
        made, whole = [], PyAVReader._rgb
        monkeypatch.setattr(
            PyAVReader, '_rgb', lambda self, frame: made.append(frame.pts) or whole(self, frame)
        )
        cost = mmstadapter.timeline(predictor('linear'), video, window=2, stride=1).cost
        assert cost['frames'] == 44 and cost['used'] == len(made) == len(set(made)) < 44

    def test_what_no_window_needs_is_dropped(self, predictor):
        from mmstadapter.streams.frame_model import FrameModel

        most, put = [], FrameModel.put
        picture = np.zeros((40, 48, 3), np.uint8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                FrameModel, 'put', lambda m, n, f: put(m, n, f) or most.append(len(m.frames))
            )
            found = mmstadapter.timeline(
                predictor('linear'), (picture for _ in range(800)), 2, 1, fps=8
            )
        assert found.seconds == 100 and len(found.windows) == 99
        assert max(most) <= 16 + 6 * 8  # a window, and a batch of strides


class TestInputs:
    def test_arrays_and_iterators_give_what_the_file_gives(self, predictor, video, frames):
        model = predictor('side4video')
        expected = mmstadapter.timeline(model, video, 2, 1).scores
        for given in (frames, list(frames), iter(frames), video.read_bytes()):
            found = mmstadapter.timeline(model, given, 2, 1, fps=8)
            np.testing.assert_allclose(found.scores, expected, atol=1e-5)

    def test_frames_need_their_rate(self, predictor, frames):
        with pytest.raises(ValueError, match='need fps'):
            mmstadapter.timeline(predictor('linear'), frames)

    def test_a_model_that_create_model_gives_is_taken(self, frames):
        model = mmstadapter.create_model('linear_vit-tiny_demo-motion.py', pretrained=False)
        found = mmstadapter.timeline(model, frames[:, :32, :32], 2, 1, fps=8)
        assert found.scores.shape[1] == model.cls_head.num_classes

    @pytest.mark.parametrize(('window', 'stride'), [(0, 1), (2, 0), (2, 3), (2, float('nan'))])
    def test_windows_that_cannot_be_are_refused(self, predictor, video, window, stride):
        with pytest.raises(ValueError, match='above zero'):
            mmstadapter.timeline(predictor('linear'), video, window, stride)

    def test_thresholds_the_wrong_way_round_are_refused(self, predictor, video):
        with pytest.raises(ValueError, match='low <= high'):
            mmstadapter.timeline(predictor('linear'), video, high=0.3, low=0.4)


class TestOddVideos:
    def test_shorter_than_a_window_is_one_window(self, predictor, tmp_path):
        short = write_noise_video(tmp_path / 'short.mp4', frames=3)
        found = mmstadapter.timeline(predictor('side4video'), short)
        assert found.windows == [(0.0, 0.375)] and found.seconds == 0.375

    def test_the_end_has_a_window_of_its_own(self, predictor, tmp_path):
        path = write_noise_video(tmp_path / 'a.mp4', frames=19)
        found = mmstadapter.timeline(predictor('linear'), path, 2, 1)
        assert found.windows == [(0, 2), (0.375, 2.375)]

    def test_without_frames_or_pictures_it_is_an_error(self, predictor, tmp_path):
        sound = tmp_path / 'sound.mp4'
        with av.open(str(sound), 'w') as container:
            stream = container.add_stream('aac', rate=8000)
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format='fltp', layout='mono')
            frame.sample_rate = 8000
            container.mux([*stream.encode(frame), *stream.encode()])
        with pytest.raises(VideoReadError, match='no video stream, only audio'):
            mmstadapter.timeline(predictor('linear'), sound)
        with pytest.raises(ValueError, match='no frame is given'):
            mmstadapter.timeline(predictor('linear'), iter(()), fps=8)

    def test_it_ends_where_the_video_is_damaged_and_says_so(self, predictor, frames):
        def damaged():
            yield from frames[:30]
            raise VideoReadError('x.mp4', 'is damaged: the frame at 3.75 s')

        found = mmstadapter.timeline(predictor('linear'), damaged(), 2, 1, fps=8)
        assert found.stopped == 'is damaged: the frame at 3.75 s'
        assert found.seconds == 3.75 and found.windows == [(0, 2), (1, 3), (1.75, 3.75)]

    def test_a_varying_rate_goes_by_time(self, predictor, tmp_path, frames):
        path = tmp_path / 'varying.mkv'
        when = [*range(0, 2000, 125), *range(4000, 6000, 250)]  # 8 a second, a pause, 4 a second
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=8)
            stream.width, stream.height, stream.pix_fmt = 48, 40, 'yuv420p'
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
            for image, pts in zip(frames, when, strict=False):
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                frame.pts, frame.time_base = pts, stream.codec_context.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        found = mmstadapter.timeline(predictor('linear'), path, 1, 1)
        assert len(found.windows) == 6 and found.seconds == pytest.approx(6, abs=0.26)
        still = found.scores[2:4]  # the pause shows the frame before it
        np.testing.assert_allclose(still[0], still[1])
        assert not np.allclose(found.scores[0], found.scores[5])

    def test_a_phones_turned_video_is_labelled_as_players_show_it(
        self, predictor, video, frames, tmp_path
    ):
        model = predictor('linear')
        path = rotate_header(video, tmp_path / 'turned.mp4', 90)
        found = mmstadapter.timeline(model, path, 2, 1)
        turned = np.ascontiguousarray(np.rot90(frames, -1, axes=(1, 2)))
        expected = mmstadapter.timeline(model, turned, 2, 1, fps=8)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        lying = mmstadapter.timeline(model, video, 2, 1).scores
        assert np.abs(found.scores - lying).max() > 1e-3

    def test_times_known_only_by_decoding_give_the_same(self, predictor, video, tmp_path):
        stream = tmp_path / 'long.ts'
        with av.open(str(video)) as source, av.open(str(stream), 'w') as target:
            out = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = out
                    target.mux(packet)
        expected = mmstadapter.timeline(predictor('side4video'), video, 2, 1)
        found = mmstadapter.timeline(predictor('side4video'), stream, 2, 1)
        assert found.windows == expected.windows
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


class TestSegments:
    def test_a_high_score_opens_and_a_low_one_closes(self):
        scores = np.array([[0.2, 0.6, 0.45, 0.55, 0.3, 0.45, 0.7]]).T
        found = merged(scores, np.arange(8.0), ['x'], high=0.5, low=0.4, shortest=1)
        assert [(s.start, s.end) for s in found] == [(1, 4), (6, 7)]
        assert found[0] == Segment(1, 4, 'x', pytest.approx(1.6 / 3), 0.6)

    def test_short_ones_are_left_out_and_classes_may_overlap(self):
        scores = np.array([[0.6, 0.6, 0.6, 0], [0, 0.6, 0, 0]]).T
        options = dict(high=0.5, low=0.4)
        both = merged(scores, np.arange(5.0), ['x', 'y'], shortest=0, **options)
        assert [(s.label, s.start, s.end) for s in both] == [('x', 0, 3), ('y', 1, 2)]
        assert [s.label for s in merged(scores, np.arange(5.0), ['x', 'y'], shortest=2, **options)]

    def test_windows_are_found_while_frames_come(self):
        grid = Grid(2, 1)
        found = [w for i in range(9) for w in grid.add(i / 2)] + grid.close(4.5)
        assert [(w.start, w.end, w.first, w.total) for w in found] == [
            (0, 2, 0, 4), (1, 3, 2, 4), (2, 4, 4, 4), (2.5, 4.5, 5, 4),
        ]  # fmt: skip

    def test_times_are_those_of_subtitles(self):
        assert clock(3661.5, ',') == '01:01:01,500' and clock(0.9996, '.') == '00:00:01.000'


class TestTheCommand:
    @pytest.fixture
    def written(self, predictor, video, tmp_path, capsys):
        adapter = predictor('side4video').path
        suffixes = ['json', 'csv', 'srt', 'vtt', 'png', 'svg']
        outs = [word for x in suffixes for word in ('--out', f'{tmp_path}/new/x.{x}')]
        words = [str(adapter), str(video), '--window', '2', '--high', '0.3', '--low', '0.25']
        command.main([*words, '--device', 'cpu', *outs])
        return tmp_path / 'new', capsys.readouterr().out

    def test_every_file_holds_the_segments(self, written):
        folder, said = written
        whole = json.loads((folder / 'x.json').read_text())
        rows = list(csv.DictReader((folder / 'x.csv').read_text().splitlines()))
        assert rows and len(rows) == len(whole['segments'])
        assert len(whole['scores']) == len(whole['windows']) == 5
        assert (folder / 'x.srt').read_text().count(' --> ') == len(rows)
        assert (folder / 'x.vtt').read_text().startswith('WEBVTT\n\n00:00:')
        assert (folder / 'x.png').read_bytes().startswith(b'\x89PNG')
        assert b'<svg' in (folder / 'x.svg').read_bytes()
        assert '44 frames decoded once' in said and 'window by window' in said
        assert len(list(folder.iterdir())) == 6

    def test_another_suffix_is_refused_before_work(self, capsys):
        with pytest.raises(SystemExit, match='by its suffix'):
            command.main(['none', 'none', '--out', 'x.txt'])

    def test_a_damaged_video_is_said_and_the_status_is_one(self, predictor, video, tmp_path):
        cut = tmp_path / 'cut.mp4'
        shutil.copy(video, cut)
        cut.write_bytes(cut.read_bytes()[:-3000])
        with pytest.raises(SystemExit, match=r'cut.mp4: '):
            command.main([predictor('side4video').path, str(cut), '--device', 'cpu'])
