"""The page of `mmstadapter serve` without a browser: what it shows, to whom, and what never."""

import asyncio
import io
import os
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import av
import numpy as np
import pytest
import torch
from PIL import Image

import mmstadapter
from mmstadapter import Hit
from mmstadapter.commands import serve
from mmstadapter.search.printing import clock
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.writer import writing
from mmstadapter.serving import showing
from mmstadapter.serving.door import COOKIE, Door
from mmstadapter.serving.excerpts import Excerpts, NotShownError, moment, preview
from mmstadapter.serving.labelling import Labeller
from mmstadapter.serving.page import Page
from mmstadapter.streams import Segment, Timeline
from mmstadapter.testing import write_tiny_adapter

from .conftest import write_video

TOKEN = 'a-token-of-24-characters'


@pytest.fixture(scope='module')
def page(library, model, tmp_path_factory):
    """The page over an index of the library."""
    folder = tmp_path_factory.mktemp('serve') / 'index'
    mmstadapter.index_videos(library, folder, model, 4, say=lambda line: None)
    return Page(mmstadapter.VideoSearch(folder, device='cpu', examples=True))


def indexed(folder, root, *names: str) -> Excerpts:
    """An index that names these files, whether they are below its root or not."""
    with writing(folder, dict(name='none'), root, 2.0) as out:
        for name in names:
            state = os.stat(root / name)
            stamp = VideoStamp(name, state.st_size, state.st_mtime_ns)
            out.add(stamp, dict(vector=torch.eye(2)), [(0.0, 2.0), (2.0, 4.0)])
        out.commit()
    return Excerpts(mmstadapter.VideoIndex(folder))


class TestExcerpts:
    @pytest.fixture
    def root(self, tmp_path):
        """A folder beside a file that is nobody's business."""
        write_video(tmp_path / 'root/a.mp4', 60)
        write_video(tmp_path / 'secret.mp4', 90)
        (tmp_path / 'root/link.mp4').symlink_to(tmp_path / 'secret.mp4')
        (tmp_path / 'root/folder').symlink_to(tmp_path)
        (tmp_path / 'root/inner.mp4').symlink_to('a.mp4')
        return tmp_path / 'root'

    def test_files_of_the_index_are_shown(self, root, tmp_path):
        own = indexed(tmp_path / 'i', root, 'a.mp4', 'inner.mp4')
        for name in ('a.mp4', 'inner.mp4'):
            assert own.file(Hit(name, 0, 2, 1)) == root / 'a.mp4'

    @pytest.mark.parametrize('name', ['link.mp4', 'folder/secret.mp4'])
    def test_a_link_that_leaves_the_root_is_not_followed(self, root, tmp_path, name):
        own = indexed(tmp_path / 'i', root, name)
        for show in (own.preview, own.moment):
            with pytest.raises(NotShownError, match='outside of the folder'):
                show(Hit(name, 0, 2, 1))

    @pytest.mark.parametrize(
        'name', ['../secret.mp4', '{}/secret.mp4', '..', '', 'a.mp4/../../secret.mp4']
    )
    def test_a_name_that_leaves_the_root_is_refused(self, root, tmp_path, name):
        own = indexed(tmp_path / 'i', root, 'a.mp4')
        own.index.stamps[name.format(tmp_path)] = own.index.stamps['a.mp4']
        with pytest.raises(NotShownError, match='cannot be named|outside'):
            own.file(Hit(name.format(tmp_path), 0, 2, 1))

    def test_a_file_that_is_not_in_the_index_or_is_another_by_now_is_not_shown(
        self, root, tmp_path
    ):
        own = indexed(tmp_path / 'i', root, 'a.mp4')
        with pytest.raises(NotShownError, match='outside'):
            own.file(Hit('inner.mp4', 0, 2, 1))
        os.utime(root / 'a.mp4', ns=(1, 1))
        with pytest.raises(NotShownError, match='not as it was'):
            own.moment(Hit('a.mp4', 0, 2, 1))

    def test_a_preview_moves(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', 100, seconds=8)
        image = Image.open(io.BytesIO(preview(path, 4, 8)))
        assert (image.format, image.height) == ('WEBP', 112) and image.n_frames > 4

    def test_a_moment_is_its_part_of_the_video(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', 100, seconds=8)
        with av.open(io.BytesIO(moment(path, 4, 8))) as container:
            frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
        assert len(frames) == 20  # four seconds at five a second
        reader = mmstadapter.open_video(str(path))
        for number in (0, 19):
            difference = frames[number].astype(int) - reader.read([20 + number])[0]
            assert abs(difference).mean() < 5


class TestPage:
    def test_hits_come_at_once_and_then_with_previews(self, page):
        first, second = page.find('a dark video', '', None, False, False)
        assert len(first[0]) == 5 and first[0] == second[0]
        assert 'image/webp' not in first[2][0] and 'data:image/webp;base64,' in second[2][0]
        assert 'video/mp4' in page.play(first[0], 0)

    def test_examples_and_choices(self, page, library):
        *_, last = page.find('', '', drop(page, library / 'short.mp4'), True, False)
        assert len(last[0]) == 3 and last[0][0].video == 'short.mp4'

    @pytest.mark.parametrize(('words', 'said'), [('', 'captions with words'), ('a whale', 'whale')])
    def test_what_cannot_be_looked_for_is_said(self, page, words, said):
        ((hits, sentence, pieces),) = page.find(words, '', None, False, False)
        assert said in sentence and not hits and not pieces

    @pytest.mark.parametrize('number', [-1, 5, 99])
    def test_a_number_that_is_no_hit_plays_nothing(self, page, number):
        *_, (hits, *_) = page.find('a dark video', '', None, False, False)
        assert 'no such hit' in page.play(hits, number)

    def test_a_file_that_is_gone_is_said_in_its_place(self, library, model, tmp_path):
        shutil.copytree(library, tmp_path / 'v')
        mmstadapter.index_videos(tmp_path / 'v', tmp_path / 'i', model, 4, say=lambda line: None)
        own = Page(mmstadapter.VideoSearch(tmp_path / 'i', device='cpu'))
        shutil.rmtree(tmp_path / 'v')
        *_, (hits, _, pieces) = own.find('a dark video', '', None, False, False)
        assert 'No picture: the file cannot be read' in pieces[0]
        assert 'Cannot be played' in own.play(hits, 0)

    def test_names_are_escaped(self):
        found = Hit('<img src=x onerror=alert(1)>.mp4', 0, 2, 0.5)
        times = over_time([Segment(0, 1, '"><script>', 0.5, 0.6)], stopped='<u>')
        entry = dict(labels=['<b>'], scores=[0.5])
        pieces = [showing.hit(found, None, '<i>'), showing.player(found, b'')]
        pieces += [
            showing.timeline(times, b''),
            showing.labels(entry),
            showing.note('<u>'),
        ]
        for piece in pieces:
            assert not any(x in piece for x in ('<img src=x', '<script', '<b>.', '<i>', '<u>'))


@pytest.fixture(scope='module')
def labelling(tmp_path_factory):
    """A tiny adapter, and what a page does with it."""
    folder = tmp_path_factory.mktemp('adapter')
    labeller = Labeller(write_tiny_adapter(folder, none_of_these=dict(below=0.2)), 'cpu')
    page = Page(Mock(index=Mock(root=Path('/videos'))), labeller)
    return page


def drop(page: Page, path: Path) -> str:
    """Put a file where the page keeps what was dropped on it."""
    return shutil.copy(path, page.uploads.name)


def over_time(segments: list[Segment], stopped: str = '') -> Timeline:
    """A timeline of three seconds."""
    scores = np.zeros((3, 2))
    thresholds = dict(high=0.5, low=0.35, shortest=0.0)
    windows = [(n, n + 1.0) for n in range(3)]
    labels = ['walk', 'talk']
    return Timeline('a.mp4', 3.0, labels, windows, scores, segments, thresholds, {}, stopped)


class TestLabels:
    @pytest.mark.slow
    def test_a_dropped_video_has_labels_over_its_time(self, labelling, library):
        (first, _), (labels, timeline) = labelling.label(drop(labelling, library / 'bright.mp4'))
        assert first == labels and '<table' in labels
        assert '<table class="segments">' in timeline and 'data:image/png;base64,' in timeline

    def test_they_are_those_of_the_command_timeline(self, labelling, library):
        labeller, path = labelling.labeller, library / 'bright.mp4'
        found, expected = labeller.timeline(path), mmstadapter.timeline(labeller.predict, path)
        assert found.windows == expected.windows
        assert found.segments == expected.segments != []
        for row in showing.timeline(found, b'').split('<tr><td>')[1:]:
            assert row.split('</td>')[0] in {clock(s.start) for s in expected.segments}
        assert showing.timeline(found, b'').count('<tr><td>') == len(expected.segments)

    def test_windows_of_a_long_video_are_longer(self, labelling, library, monkeypatch):
        monkeypatch.setattr('mmstadapter.serving.labelling.MOST', 3)
        found = labelling.labeller.timeline(library / 'bright.mp4')  # 12 s
        assert found.windows[0] == (0, 12) and len(found.windows) == 1

    def test_where_no_score_is_high_enough_that_is_said_beside_the_picture(self):
        shown = showing.timeline(over_time([]), b'x')
        assert 'No score reaches 0.5.' in shown and '<img' in shown and '<table' not in shown

    def test_a_video_that_is_damaged_further_on_has_its_beginning(self):
        segments = [Segment(0, 2, 'walk', 0.9, 0.95), Segment(1, 3, 'talk', 0.6, 0.7)]
        shown = showing.timeline(over_time(segments, stopped='is damaged'), b'')
        assert 'The file is damaged. The timeline ends at 0:03.0.' in shown
        assert shown.index('walk') < shown.index('talk') and '0.900' in shown

    def test_what_cannot_be_decoded_is_said(self, labelling, library):
        page = labelling
        assert 'The file ' in list(page.label(drop(page, library / 'broken.mp4')))[0][0]
        assert 'Drop a video' in page.look(None) and 'Drop a video' in list(page.label(None))[0][0]

    @pytest.mark.slow
    def test_it_is_shown_where_the_model_looks(self, labelling, library):
        assert 'data:image/png;base64,' in labelling.look(drop(labelling, library / 'bright.mp4'))

    def test_a_file_that_was_not_dropped_is_not_read(self, labelling, library, monkeypatch):
        for name in ('whole', 'timeline', 'attention'):
            monkeypatch.setattr(labelling.labeller, name, None)
        (folder := Path(labelling.uploads.name, 'x')).symlink_to(library)
        for path in (library / 'short.mp4', '/etc/passwd', folder / 'short.mp4', 'short.mp4'):
            assert 'Drop a video' in list(labelling.label(str(path)))[0][0]
            assert 'Drop a video' in labelling.look(str(path))
            assert labelling.dropped(str(path)) is None
        folder.unlink()


def ask(token: str | None, path: str = '/', query: str = '', kind: str = 'http', **headers: str):
    """The answer of a door before an application that says 200: status and headers."""

    async def application(scope, receive, send):
        await send(dict(type='http.response.start', status=200, headers=[]))

    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    pairs = [(k.encode(), v.encode()) for k, v in (dict(host='localhost:7860') | headers).items()]
    scope = dict(type=kind, path=path, query_string=query.encode(), headers=pairs)
    asyncio.run(Door(application, token)(scope, None, send))
    return sent[0].get('status', sent[0]['type']), dict(sent[0].get('headers', []))


class TestDoor:
    @pytest.mark.parametrize('host', ['localhost:7860', '127.0.0.1', '127.0.0.1:1', '[::1]:7860'])
    def test_this_machine_comes_in_by_its_own_names(self, host):
        assert ask(None, host=host)[0] == 200

    @pytest.mark.parametrize(
        'host', ['evil.example:7860', '', '127.0.0.1.evil.example', '10.0.0.1']
    )
    def test_a_page_of_a_stranger_does_not(self, host):
        assert ask(None, host=host)[0] == 403

    @pytest.mark.parametrize(
        ('query', 'headers'),
        [('', dict(cookie=f'x=1; {COOKIE}={TOKEN}')), ('', dict(authorization=f'Bearer {TOKEN}'))],
    )
    def test_who_has_the_token_comes_in_by_any_name(self, query, headers):
        assert ask(TOKEN, query=query, host='box.example', **headers)[0] == 200

    @pytest.mark.parametrize(
        ('query', 'headers'),
        [('', {}), ('token=', {}), (f'token={TOKEN}x', {}), (f'token={TOKEN[:-1]}', {}),
         ('', dict(cookie=f'{COOKIE}=wrong')), ('', dict(authorization=f'Basic {TOKEN}')),
         ('token=%ff%fe', {}), ('', dict(cookie='=;;,\x01'))],
    )  # fmt: skip
    def test_who_has_not_stays_outside(self, query, headers):
        assert ask(TOKEN, query=query, **headers)[0] == 401
        assert ask(TOKEN, '/gradio_api/queue/data', query=query, **headers)[0] == 401
        assert ask(TOKEN, kind='websocket', query=query, **headers)[0] == 'websocket.close'

    def test_the_token_is_compared_in_constant_time(self, monkeypatch):
        seen = []
        monkeypatch.setattr('hmac.compare_digest', lambda a, b: seen.append((a, b)) or True)
        assert ask(TOKEN)[0] == 200 and all(b == TOKEN.encode() for _, b in seen) and seen

    @pytest.mark.parametrize('path', ['/', '//evil.example', '/a\r\nset-cookie: x=1'])
    def test_an_address_with_the_token_becomes_one_without(self, path):
        status, headers = ask(TOKEN, path, f'token={TOKEN}&x=1')
        place = headers[b'location'].decode()
        assert status == 303 and TOKEN not in place and place.endswith('?x=1')
        assert not place.startswith('//') and '\r' not in place
        assert b'HttpOnly; SameSite=Strict' in headers[b'set-cookie']

    @pytest.mark.parametrize(
        'path',
        ['/file=/etc/passwd', '/gradio_api/file=/etc/passwd', '/gradio_api/file=../../etc/passwd',
         '/gradio_api/file/etc/passwd', '/gradio_api/proxy=https://a.example/',
         '/x/gradio_api/file=a.mp4', '/gradio_api/stream/a/b/c/playlist.m3u8'],
    )  # fmt: skip
    @pytest.mark.parametrize('token', [None, TOKEN])
    def test_no_file_or_server_is_reached_by_its_name(self, path, token):
        assert ask(token, path, authorization=f'Bearer {TOKEN}')[0] == 403


class TestCommand:
    @pytest.mark.parametrize(
        ('words', 'said'),
        [(['--host', '0.0.0.0'], 'say a --token'), (['--host', 'box'], 'say a --token'),
         (['--token', 'short'], '16 or more'), (['--token', 'x' * 20 + ';'], '16 or more')],
    )  # fmt: skip
    def test_another_host_needs_a_token(self, words, said, capsys):
        with pytest.raises(SystemExit):
            serve.parse_args(words)
        assert said in capsys.readouterr().err

    def test_without_gradio_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'gradio', None)
        with pytest.raises(SystemExit, match=r'mmstadapter\[app\]'):
            serve.main([])
