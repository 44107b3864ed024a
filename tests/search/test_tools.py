"""The two commands, and the page of hits."""

import base64
import gc
import io
import json
import os
import re
from importlib import import_module

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

import mmstadapter_cli
from mmstadapter import Hit, shipped
from mmstadapter.commands import index
from mmstadapter.search.page import strip, write_sheet
from mmstadapter.search.printing import clock
from mmstadapter.search.storage import VideoStamp

from .conftest import write_video


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """``command('search', ...)`` in a folder of its own: exit status, output, errors."""

    def run(name: str, *arguments) -> tuple[int | str, str, str]:
        monkeypatch.chdir(tmp_path)
        main = import_module(f'mmstadapter.commands.{name}').main
        status: int | str | None = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return status or 0, said.out, said.err

    return run


class TestCommands:
    def test_index_then_search_in_the_default_place(self, command, library, model_config, tmp_path):
        words = [
            '--config',
            model_config,
            '--seconds',
            4,
            '--device',
            'cpu',
            '--json',
            'new/done.json',
        ]
        status, out, errors = command('index', library, *words)
        assert status == 0
        assert 'work_dirs/index: 5 segments of 3 videos' in out
        assert 'cannot be decoded: broken.mp4: ' in out
        assert json.loads((tmp_path / 'new/done.json').read_text())['added'] == 3
        assert 'model: model.py' in errors

        words = ['--device', 'cpu', '--topk', 3, '--json', '-', '--html', 'pages/hits.html']
        status, out, _ = command('search', 'a dark video', 'jumps', *words)
        found = json.loads(out)
        assert found['query'] == 'a dark video jumps' and found['root'] == str(library)
        assert [hit['rank'] for hit in found['hits']] == [1, 2, 3]
        assert found['hits'][0].keys() == {'rank', 'video', 'start', 'end', 'score'}
        assert (tmp_path / 'pages/hits.html').read_text().count('<figure>') == 3

        status, out, errors = command('index', library, '--device', 'cpu')  # the index's own model
        assert status == 0 and '4 as before' in errors and 'model: model.py' in errors
        before = torch.get_num_threads(), gc.isenabled()
        status, out, _ = command('search', 'a dark video', '--device', 'cpu', '--topk', 1)
        assert re.fullmatch(r'-?0\.\d{3} +0:0\d\.0 +0:\d\d\.0  \S.*\.mp4\n', out)
        assert (torch.get_num_threads(), gc.isenabled()) == before

    def test_search_without_an_index_says_how_to_make_one(self, command):
        status, out, _ = command('search', 'water')
        assert 'mmstadapter index VIDEO_DIR' in status and not out

    def test_a_word_the_model_does_not_know_is_named(self, command, library, model_config):
        words = ['--config', model_config, '--device', 'cpu']
        command('index', library, *words)
        status, _, _ = command('search', 'a dark whale', '--device', 'cpu')
        assert 'whale' in status

    def test_a_folder_of_broken_videos_alone_ends_with_status_1(
        self, command, model_config, tmp_path
    ):
        (tmp_path / 'bad').mkdir()
        (tmp_path / 'bad/x.mp4').write_bytes(b'no video')
        status, out, _ = command(
            'index', 'bad', '--config', model_config, '--device', 'cpu', '--index', 'i'
        )
        assert status == 1 and 'cannot be decoded: x.mp4' in out

    def test_the_default_model_is_a_shipped_config_with_pretrained_weights(self):
        model = Config.fromfile(shipped.find_config(index.CONFIG)).model
        assert model.backbone.trunk.checkpoint == model.text_tower.checkpoint == 'openai/ViT-B-32'

    @pytest.mark.parametrize(
        ('option', 'message'),
        [(('--device', 'cuda:99'), 'cannot be used'), (('--index', 'file/in'), 'Not a directory')],
    )
    def test_what_the_machine_refuses_ends_with_a_sentence(
        self, command, library, model_config, tmp_path, option, message
    ):
        (tmp_path / 'file').write_text('no folder')
        status, _, _ = command('index', library, '--config', model_config, *option)
        assert message in status

    def test_odd_names_are_lines_of_text_and_valid_json(
        self, command, library, model_config, tmp_path
    ):
        for name in ('a\nb.mp4', 'caf\udce9.mp4'):
            (tmp_path / name).symlink_to(library / 'short.mp4')
        (tmp_path / 'bad\udce9.mp4').write_bytes(b'')
        _, out, _ = command('index', '.', '--config', model_config, '--device', 'cpu')
        assert 'cannot be decoded: bad\\udce9.mp4' in out
        _, out, _ = command('search', 'a dark video', '--device', 'cpu')
        assert {line.split('  ')[-1] for line in out.splitlines()} == {
            'a\\nb.mp4', 'caf\\udce9.mp4'}  # fmt: skip
        _, out, _ = command('search', 'a dark video', '--device', 'cpu', '--json', '-')
        assert {hit['video'] for hit in json.loads(out)['hits']} == {'a\nb.mp4', 'caf\udce9.mp4'}

    @pytest.mark.parametrize(
        ('raised', 'message'),
        [
            (KeyError('x: no rule for it'), 'x: no rule for it'),
            (KeyboardInterrupt(), 'Stopped'),
            (OSError('no place'), 'no place'),
        ],
    )
    @pytest.mark.parametrize('name', ['index', 'search'])
    def test_it_ends_with_a_sentence(self, command, name, raised, message, monkeypatch):
        def fail(*args):
            raise raised

        monkeypatch.setattr('mmstadapter.launch.parse_options', fail)
        status, out, _ = command(name, 'x')
        assert status.startswith(message) and not out

    def test_a_file_for_json_that_cannot_be_written_ends_with_a_sentence(
        self, command, library, model_config
    ):
        words = ['--device', 'cpu', '--json', '/dev/null/x']
        for arguments in (('index', library, '--config', model_config), ('search', 'a video')):
            status, _, _ = command(*arguments, *words)
            assert 'Not a directory' in status or 'File exists' in status

    def test_both_are_listed(self):
        text = mmstadapter_cli.overview()
        assert re.search(r'\n  index +Index a folder of videos', text)
        assert re.search(r'\n  search +Search indexed videos', text)


class TestPage:
    def test_it_holds_its_pictures_and_links_to_the_moment(self, tmp_path):
        write_video(tmp_path / 'a & b.mp4', 60, seconds=8)
        hits = [Hit('a & b.mp4', 4.0, 8.0, 0.31), Hit('gone.mp4', 0.0, 4.0, 0.2)]
        write_sheet(tmp_path / 'out.html', [('a <dark> video', hits)], tmp_path)
        page = (tmp_path / 'out.html').read_text()
        assert '<title>a &lt;dark&gt; video</title>' in page
        assert 'a%20%26%20b.mp4#t=4.00,8.00' in page and '0:04.0 to 0:08.0, 0.310' in page
        assert 'No picture: the file cannot be opened' in page
        sources = re.findall('(?:src|href)="([^"]{5})', page)
        assert set(sources) == {'data:', 'file:'}
        code = re.search('base64,([^"]+)', page)[1]
        image = Image.open(io.BytesIO(base64.b64decode(code)))
        assert image.format == 'JPEG' and image.size == (4 * round(64 * 112 / 48), 112)

    def test_a_file_that_changed_since_it_was_indexed_is_not_shown(self, tmp_path):
        state = write_video(tmp_path / 'a.mp4', 60).stat()
        hits = [Hit('a.mp4', 0.0, 2.0, 0.5)]
        for size, shown in ((state.st_size, True), (state.st_size + 1, False)):
            stamps = {'a.mp4': VideoStamp('a.mp4', size, state.st_mtime_ns)}
            write_sheet(tmp_path / 'page.html', [('x', hits)], tmp_path, stamps)
            page = (tmp_path / 'page.html').read_text()
            assert ('<img' in page, 'not as it was' in page) == (shown, not shown)

    def test_a_name_outside_of_the_root_is_refused(self, tmp_path):
        write_video(tmp_path / 'secret.mp4', 60)
        (tmp_path / 'root').mkdir()
        hit = Hit('../secret.mp4', 0.0, 2.0, 0.5)
        with pytest.raises(ValueError, match='below its root'):
            write_sheet(tmp_path / 'page.html', [('x', [hit])], tmp_path / 'root')
        assert not (tmp_path / 'page.html').exists()

    def test_a_name_of_any_bytes_can_be_linked(self, tmp_path):
        name = os.fsdecode(b'<b>caf\xe9.mp4')  # latin-1 in a file system of UTF-8
        write_sheet(tmp_path / 'out.html', [('coffee', [Hit(name, 0.0, 4.0, 0.2)])], tmp_path)
        page = (tmp_path / 'out.html').read_text()
        assert '/%3Cb%3Ecaf%E9.mp4#t=' in page and '<b>caf' not in page

    def test_the_strip_shows_the_part_and_not_the_rest(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', 100, seconds=20)
        parts = [
            np.asarray(Image.open(io.BytesIO(strip(path, start, start + 5)))).astype(float)
            for start in (0.0, 5.0, 5.0)
        ]
        assert np.abs(parts[0] - parts[1]).mean() > 3
        np.testing.assert_array_equal(parts[1], parts[2])

    def test_a_very_wide_video_is_pressed_together(self, tmp_path):
        with av.open(str(tmp_path / 'a.mp4'), 'w') as container:
            stream = container.add_stream('mpeg4', rate=5)
            stream.width, stream.height, stream.pix_fmt = 4096, 2, 'yuv420p'
            image = np.zeros((2, 4096, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
            container.mux(stream.encode())
        image = Image.open(io.BytesIO(strip(tmp_path / 'a.mp4', 0, 0.2)))
        assert image.size == (4 * 448, 112)

    @pytest.mark.parametrize(
        ('seconds', 'text'), [(0, '0:00.0'), (65.04, '1:05.0'), (3665.5, '1:01:05.5')]
    )
    def test_times_read_as_on_a_player(self, seconds, text):
        assert clock(seconds) == text
