"""`mmstadapter watch`: a file, a source that does not wait, one that breaks."""

import json
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest
from mmengine.config import Config

from mmstadapter import Stream, VideoReadError
from mmstadapter.apis.building import build_model
from mmstadapter.apis.none_of_these import NONE
from mmstadapter.commands import watch as command
from mmstadapter.engine.tuned_checkpoint import write_adapter
from mmstadapter.streams import live
from mmstadapter.streams.events import EventFile, Events
from mmstadapter.streams.live import Frame, Live, Note, source_of
from mmstadapter.streams.segments import bounds_of, merged
from mmstadapter.streams.watching import Recording, Watch
from mmstadapter.testing import tiny_recipe, tiny_retriever, write_clip_file

LABELS = ['a', 'b', 'c']


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestEvents:
    @pytest.mark.parametrize('shortest', [0.0, 0.9])
    def test_they_are_the_segments_that_a_timeline_merges(self, shortest):
        rng = np.random.default_rng(0)
        scores = np.repeat(rng.random((40, 3)), rng.integers(1, 4, 40), axis=0)
        middles = 1 + 0.25 * np.arange(len(scores))
        events, found = Events(LABELS, 0.7, 0.4, shortest), []
        for middle, row in zip(middles, scores, strict=True):
            found += events.add(middle, row)[0]
        found += events.end(30.0)
        windows = [(middle - 1, middle + 1) for middle in middles]
        expected = merged(scores, bounds_of(windows, 30.0), LABELS, 0.7, 0.4, shortest)
        assert len(expected) > 5
        for one, other in zip(sorted(found), expected, strict=True):
            assert one == pytest.approx(other)

    def test_what_is_shown_is_the_last_one_opened_of_those_still_open(self):
        events = Events(LABELS, 0.5, 0.4, 0)
        rows = [[0, 0, 0.1], [0.6, 0, 0], [0.45, 0.6, 0], [0.45, 0.1, 0], [0.45, 0, 0], [0, 0, 0]]
        said = [events.add(t, np.array(row))[1] for t, row in enumerate(rows)]
        labels = [[change.label for change in part] for part in said]
        assert labels == [[NONE], ['a'], ['b'], ['a'], [], [NONE]]

    def test_one_shorter_than_the_shortest_is_not_said_and_every_other_is(self):
        rng = np.random.default_rng(1)
        events, over, said = Events(LABELS, 0.6, 0.5, 1.0), [], []
        for t, row in enumerate(rng.random((200, 3))):
            segments, changes = events.add(t / 2, row)
            over, said = over + segments, said + changes
        assert {(s.start, s.label) for s in over} <= {(c.seconds, c.label) for c in said}
        assert over and min(s.end - s.start for s in over) == 1.0


class TestTheFileOfEvents:
    def test_it_is_added_to_and_begun_anew_when_asked(self, tmp_path):
        path = tmp_path / 'new/events.jsonl'
        for _ in range(2):
            EventFile(path).write(dict(label='ä'))
        assert [e['label'] for e in lines(path)] == ['ä', 'ä']
        EventFile(path, force=True)
        assert path.read_text() == ''

    def test_a_line_is_there_at_once_and_one_cut_short_is_left_alone(self, tmp_path):
        (path := tmp_path / 'events.jsonl').write_text('{"label": "a"}\n{"lab')
        file = EventFile(path)
        file.write(dict(label='b'))
        assert path.read_text() == '{"label": "a"}\n{"lab\n{"label": "b"}\n'

    def test_another_suffix_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match='.jsonl; got'):
            EventFile(tmp_path / 'film.mp4')


class TestSources:
    @pytest.mark.parametrize(
        ('text', 'kind', 'name'),
        [
            ('rtsp://me:se@cret@host/1', 'address', 'rtsp://host/1'),
            ('http://host:80/a@b', 'address', 'http://host:80/a@b'),
        ],
    )
    def test_addresses_are_shown_without_passwords(self, text, kind, name):
        assert source_of(text) == (kind, text, name)

    def test_what_is_not_there_is_refused(self, tmp_path, monkeypatch):
        for text in (str(tmp_path), str(tmp_path / 'a.mp4')):
            with pytest.raises(ValueError, match='there is no file'):
                source_of(text)
        with pytest.raises(ValueError, match='there is no device /dev/video99; webcams here'):
            source_of('99')
        monkeypatch.setattr(av, 'formats_available', {'rtsp'})
        with pytest.raises(ValueError, match='a PyAV with v4l2, and this one'):
            source_of('/dev/video0')

    def test_an_address_where_nobody_answers_is_an_error_at_once(self):
        with pytest.raises(VideoReadError, match='http://host/x: cannot be opened: .*'):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(live, 'PATIENCE', 1.0)
                live.connect(live.Source('address', 'http://127.0.0.1:9/x', 'http://host/x'), {})


def watched(predictor, source, interval=None, **options):
    """A watch of a source: itself, and what it will have said."""
    said, written, notes = [], [], []
    options = dict(high=0.5, low=0.4, shortest=0.0) | options
    stream = Stream(predictor, interval, fps=source.fps)
    watch = Watch(source, stream, **options, say=said.append, write=written.append,
                  note=notes.append)  # fmt: skip
    return watch, said, written, notes


class TestAFile:
    def test_its_events_are_those_of_its_clips(self, predictor, video, frames):
        model = predictor('linear')
        stream, rows, windows = Stream(model), [], []
        for n, frame in enumerate(frames):
            if stream.put(frame):
                rows.append(stream.scores())
                windows.append(((n - 6) / 8, n / 8))
        best = np.stack(rows).max(axis=1)
        high, low = float(np.quantile(best, 0.7)), float(np.quantile(best, 0.4))
        expected = merged(np.stack(rows), bounds_of(windows, 5.5), LABELS, high, low, 0)
        watch, said, written, _ = watched(
            model, Recording(source_of(str(video))), high=high, low=low
        )
        watch.run()
        assert len(expected) > 1 and len(rows) == watch.labelled == watch.complete == 19
        for one, other in zip(sorted(written), expected, strict=True):
            assert one[2] == other[2] and one[:2] == pytest.approx(other[:2], abs=1e-6)
        assert {s.label for s in written} <= {c.label for c in said}

    def test_the_command_prints_changes_and_adds_events(self, predictor, video, tmp_path, capsys):
        path, events = str(predictor('linear').path), tmp_path / 'events.jsonl'
        words = [str(video), path, '--device', 'cpu', '--events', str(events)]
        for times in (1, 2):
            command.main([*words, '--high', '0.5'])
            said = capsys.readouterr()
            found = lines(events)
            assert said.out.splitlines()[0].split()[0] == '0:00.0'
            assert f'{len(found) // times} events' in said.err and '22 frames, 19 clips' in said.err
        assert set(found[0]) == {'source', 'start', 'end', 'label', 'score', 'peak'}
        assert found[: len(found) // 2] == found[len(found) // 2 :]

    def test_what_is_open_when_it_is_stopped_is_written(self, predictor, video, tmp_path, capsys):
        path, events = str(predictor('linear').path), tmp_path / 'events.jsonl'
        with pytest.MonkeyPatch.context() as patch:
            whole = Watch._label

            def stop(watch):
                whole(watch)
                if watch.labelled == 5:
                    raise KeyboardInterrupt

            patch.setattr(Watch, '_label', stop)
            command.main([str(video), path, '--events', str(events), '--high', '0.01'])
        assert [(e['start'], e['end']) for e in lines(events)] == [(0.0, 1.75)] * 3
        assert '5 clips, 3 events' in capsys.readouterr().err

    def test_one_that_is_damaged_ends_there_with_status_one(self, predictor, video, tmp_path):
        (cut := tmp_path / 'cut.mp4').write_bytes(video.read_bytes()[:-3000])
        events = tmp_path / 'events.jsonl'
        with pytest.raises(SystemExit, match='cut.mp4: '):
            path = str(predictor('linear').path)
            command.main([str(cut), path, '--high', '0.01', '--events', str(events)])

    @pytest.mark.parametrize(
        ('words', 'said'),
        [
            (['none.mp4', 'x'], 'there is no file none.mp4'),
            ([__file__, 'none.safetensors'], 'none.safetensors'),
            ([__file__, 'x', '--high', '2'], 'thresholds must be'),
            ([__file__, 'x', '--events', 'a.txt'], '.jsonl; got a.txt'),
        ],
    )
    def test_wrong_words_are_refused_before_work(self, words, said):
        with pytest.raises(SystemExit, match=said):
            command.main(words)

    @pytest.mark.parametrize('words', [['--retries', '-1'], ['--option', 'a']])
    def test_wrong_options_are_refused_with_the_usage(self, words, capsys):
        with pytest.raises(SystemExit, match='2'):
            command.main(['a.mp4', 'x', *words])
        assert f'{words[0]} ' in capsys.readouterr().err


class Slow:
    """A live source of arrays: batches as given."""

    fps, damaged = 8.0, 0

    def __init__(self, batches, dropped=0):
        self.given, self.dropped = batches, dropped

    def batches(self, wanted, every, capacity):
        yield from self.given


class TestALiveSource:
    def test_of_clips_that_wait_the_latest_is_labelled(self, predictor, frames):
        model = predictor('linear')
        items = [Frame(n, n / 8, frames[n]) for n in range(0, 24, 2)]
        watch, *_ = watched(model, Slow([items[:5], items[5:]]))
        watch.run()
        assert (watch.read, watch.complete, watch.labelled) == (12, 9, 2)
        assert watch.lost().endswith('0 of 12 frames dropped, 7 of 9 clips not labelled')

    @pytest.mark.parametrize('method', ['linear', pytest.param('tds', marks=pytest.mark.slow)])
    def test_after_dropped_frames_a_clip_begins_anew(self, predictor, frames, method):
        model, seen = predictor(method), []
        read = Stream(model).read
        numbers = [n for n in range(44) if n % 2 in read and not 10 <= n <= 15]
        items = [[Frame(n, n / 8, frames[n])] for n in numbers]
        watch, *_ = watched(model, Slow(items, 6))
        add = watch.events.add
        watch.events.add = lambda *given: seen.append(given) or add(*given)
        watch.run()
        reach = watch.stream.reach
        ends = [n for n in range(reach, 44, 2) if not n - reach <= 15 or n < 10]
        assert [round(8 * middle + reach / 2) for middle, _ in seen] == ends
        alone = Stream(model)
        (*_, last) = [alone.push(frame) for frame in frames[ends[-1] - reach : ends[-1] + 1]]
        assert sorted(seen[-1][1], reverse=True) == pytest.approx(last['scores'], abs=1e-5)

    def test_a_break_ends_what_is_open(self, predictor, frames):
        items = [[Frame(n, n / 8, frames[n])] for n in range(0, 12, 2)]
        items += [[Note(2.0, 'broke')], [Note(5.0, 'is back')]]
        items += [[Frame(n, 4 + n / 8, frames[n])] for n in range(14, 26, 2)]
        model = predictor('linear')
        watch, said, written, notes = watched(model, Slow(items), high=0.01, low=0.01)
        watch.run()
        assert [(s.start, s.end) for s in written] == [(0, 1.25)] * 3 + [(5.75, 7.0)] * 3
        assert notes == ['broke', 'is back'] and len(said) == 6

    def test_memory_is_bounded_over_thousands_of_frames(self, predictor):
        picture, most = np.zeros((40, 48, 3), np.uint8), []
        items = ([Frame(n, n / 8, picture)] for n in range(0, 4000, 40))
        watch, *_ = watched(predictor('linear'), Slow(items), 40)
        take = watch._take

        def measured(batch):
            take(batch)
            kept = (watch.times, watch.stream.model.frames, watch.stream.model.looked)
            most.append(max(map(len, kept)))

        watch._take = measured
        watch.run()
        assert watch.stream.count == 3961 and watch.labelled == 97 and max(most) <= 4


def stream_bytes(frames: np.ndarray, path: Path) -> bytes:
    """Frames as a transport stream, as a camera sends it."""
    with av.open(str(path), 'w', format='mpegts') as container:
        stream = container.add_stream('mpeg2video', rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], 'yuv420p'
        stream.gop_size = 5
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())
    return path.read_bytes()


@contextmanager
def served(content: bytes, times: int, length: int | None = None):
    """A camera's address, which breaks after each sending and is gone after so many.

    With a ``length`` it is a file's.
    """
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if len(sent) >= times:
                return self.send_error(503)
            sent.append(1)
            self.send_response(200)
            self.send_header('Content-Type', 'video/mp2t')
            if length:
                self.send_header('Content-Length', str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/live'
    finally:
        server.shutdown()
        server.server_close()


class TestReaching:
    @pytest.fixture
    def content(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
        return stream_bytes(noise, tmp_path / 'a.ts')

    def test_a_source_that_breaks_is_reached_again_so_often_and_no_more(
        self, content, predictor, tmp_path, capsys, monkeypatch
    ):
        pauses = []
        monkeypatch.setattr(Event, 'wait', lambda self, seconds=None: pauses.append(seconds))
        with served(content, 2) as address:
            path, events = str(predictor('linear').path), tmp_path / 'events.jsonl'
            words = [address, path, '--retries', '3', '--high', '0.01', '--events', str(events)]
            with pytest.raises(SystemExit, match='3 tries in a row to reach it again failed'):
                command.main([*words, '--device', 'cpu'])
        said = capsys.readouterr()
        assert [x for x in pauses if x and x >= 1] == [1, 1, 2, 4]
        assert said.err.count('is back') == 1 and 'trying again in 1 s (1 of 3)' in said.err
        found = lines(events)
        assert len(found) == 6 and 'start_time' in found[0]  # two stretches of three classes

    def test_a_reader_that_is_left_behind_drops_the_oldest(self, content):
        with served(content, 1) as address:
            source, is_read = Live(source_of(address), {}, 0), Event()
            take = source._take

            def waiting_for_the_first(frame):
                assert not source.next or is_read.wait(60)
                take(frame)

            source._take = waiting_for_the_first
            batches = source.batches({0}, 2, 4)
            first, kept = next(batches), []
            is_read.set()
            while not (source.waiting and isinstance(source.waiting[-1], Exception)):
                time.sleep(0.01)
            with pytest.raises(VideoReadError, match='broke|ended'):
                for batch in batches:
                    kept += batch
        assert len(first) + len(kept) + source.dropped == source.next // 2 + 1
        numbers = [frame.number for frame in kept]
        assert numbers == list(range(numbers[-1] - 6, numbers[-1] + 1, 2)) and source.dropped > 9

    def test_a_recording_behind_an_address_is_waited_for(self, video, predictor):
        content = video.read_bytes()
        with served(content, 9, len(content)) as address:
            source = Live(source_of(address), {}, 0)
            assert source.is_recorded
            watch, *_ = watched(predictor('linear'), source)
            watch.run()
        assert (watch.read, watch.labelled, source.dropped) == (22, watch.complete, 0)
        assert watch.seconds == pytest.approx(42 / 8)


@pytest.fixture(scope='module')
def pictures():
    coarse = np.random.default_rng(0).integers(0, 256, (20, 6, 8, 3), np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


@pytest.fixture(scope='module')
def rtsp():
    """The module of the camera."""
    spec = spec_from_file_location('rtsp_camera', Path(__file__).with_name('rtsp_camera.py'))
    spec.loader.exec_module(module := module_from_spec(spec))
    return module


class TestACameraThatSpeaksRTSP:
    def test_its_frames_come_in_order_again_when_it_was_away(self, rtsp, pictures):
        with rtsp.Camera(pictures, plays=2) as camera:
            source = Live(source_of(camera.address()), {}, 1)
            assert source.fps == rtsp.FPS and not source.is_recorded
            found = []
            with pytest.raises(VideoReadError, match='1 tries in a row to reach it again') as told:
                for batch in source.batches({0}, 1, 1000):
                    found += batch
        assert rtsp.PASSWORD not in str(told.value) and camera.place in str(told.value)
        assert len(camera.transports) == 2 and all('TCP' in said for said in camera.transports)
        said = [item.sentence for item in found if isinstance(item, Note)]
        assert len(said) == 3 and 'trying again' in said[0] and said[1] == 'is back'
        frames = [item for item in found if isinstance(item, Frame)]
        assert [f.number for f in frames] == [*range(20), *range(22, 42)]
        for frame, picture in zip(frames, [*pictures, *pictures], strict=True):
            shown = frame.picture.to_ndarray(format='rgb24').astype(float)
            assert abs(shown - picture).mean() < 12  # colours of half the size, compressed
        assert (source.dropped, source.damaged) == (0, 0)

    def test_a_wrong_password_is_said_and_not_shown(self, rtsp, pictures):
        with rtsp.Camera(pictures, plays=1) as camera:
            with pytest.raises(VideoReadError, match='(?i)cannot be opened: .*401') as told:
                Live(source_of(camera.address('wrong@')), {}, 0)
        assert 'wrong' not in str(told.value)

    def test_the_command_labels_it(self, rtsp, pictures, predictor, tmp_path, capsys):
        events = tmp_path / 'events.jsonl'
        with rtsp.Camera(pictures, plays=1) as camera:
            address, adapter = camera.address(), str(predictor('side4video').path)
            options = ['--retries', '0', '--events', str(events), '--device', 'cpu']
            options += ['--high', '0.3', '--low', '0.2']
            with pytest.raises(SystemExit, match='ended'):
                command.main([address, adapter, *options])
        assert capsys.readouterr().out.split()[-1] in LABELS
        assert camera.place in events.read_text() and rtsp.PASSWORD not in events.read_text()


def test_frames_of_a_webcam_come_through_v4l2(monkeypatch):
    asked = {}
    monkeypatch.setattr(av, 'open', lambda place, **words: asked.update(words, place=place))
    live.connect(live.Source('device', '/dev/video0', '/dev/video0'), dict(framerate='30'))
    assert asked['place'] == '/dev/video0' and asked['format'] == 'v4l2'
    assert asked['options'] == dict(framerate='30')
    live.connect(live.Source('address', 'rtsp://h', 'rtsp://h'), {})
    assert asked['options'] == dict(rtsp_transport='tcp') and asked['format'] is None


def test_a_model_for_retrieval_is_refused(tmp_path, video):
    trunk = write_clip_file(tmp_path / 'clip.safetensors')
    recipe = tiny_recipe(trunk)
    recipe['model'] = tiny_retriever()
    recipe['model']['backbone']['trunk']['checkpoint'] = trunk
    recipe['model']['text_tower']['checkpoint'] = trunk
    config = Config(recipe)
    model = build_model(config.model, pretrained=True)
    write_adapter(tmp_path / 'a.safetensors', model, config)
    with pytest.raises(SystemExit, match='a.safetensors: .*Retriever'):
        command.main([str(video), str(tmp_path / 'a.safetensors'), '--device', 'cpu'])
