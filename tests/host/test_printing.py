"""Names of files, labels and stored texts are shown as text wherever they come out."""

import html
import logging
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from mmengine.logging.logger import MMFormatter

import mmstadapter_cli
from mmstadapter.apis.results import write_page
from mmstadapter.datasets.packets import VideoReadError
from mmstadapter.printing import printable, shown
from mmstadapter.search import Hit
from mmstadapter.search.page import write_sheet
from mmstadapter.weights.errors import DamagedFile

NAME = 'a\x1b[2J\x9b1m\r\nb\u202e\udce9.mp4'  # clears the screen, colours, returns, turns text
TEXT = r'a\x1b[2J\x9b1m\r\nb\u202e\udce9.mp4'


def test_one_name_is_one_line_that_commands_nothing():
    assert shown(NAME) == TEXT
    assert shown('día 日本 🙂.mp4') == 'día 日本 🙂.mp4'


def test_lines_stay_lines():
    assert printable('one\n\ttwo\x1b[2J') == '\tone\n'[1:] + '\ttwo' + r'\x1b[2J'


@pytest.mark.parametrize('color', [False, True])
def test_logs_show_names_as_text(color):
    record = logging.LogRecord('x', logging.WARNING, '', 1, 'Bad video: %s', (NAME,), None)
    line = MMFormatter(color).format(record)
    assert line.endswith(r'Bad video: a\x1b[2J\x9b1m\r' + '\n' + r'b\u202e\udce9.mp4')


def test_so_do_errors_of_reading():
    assert str(VideoReadError(NAME, 'is damaged')) == f'{TEXT}: is damaged'


def test_so_does_the_sentence_a_command_ends_with(tmp_path):
    with pytest.raises(SystemExit, match=r'no adapter file .*a\\x1b\[2J\.safetensors'):
        mmstadapter_cli.main(['predict', str(tmp_path / 'a\x1b[2J.safetensors'), 'x.mp4'])


@pytest.mark.parametrize('name', [NAME, '<script>alert(1)</script>.mp4', '"><img src=x>'])
def test_pages_hold_them_as_text_alone(tmp_path, name):
    root = tmp_path / '<b>root'
    write_sheet(tmp_path / 's.html', [(name, [Hit(name, 0.0, 1.0, 0.5)])], root)
    entry = dict(video=name, label=name, predicted=name, label_score=0.1, predicted_score=0.9)
    write_page([entry], root, tmp_path / 'm.html')
    for page in ('s.html', 'm.html'):
        text = (tmp_path / page).read_text(encoding='utf-8')
        assert html.escape(shown(name)) in text
        assert not [mark for mark in ('<script', '<img src=x', '\x1b', '<b>root') if mark in text]


def test_a_damaged_file_ends_a_command_with_a_sentence(monkeypatch):
    error = DamagedFile('x\x1b[2J.pth is no file of plain tensors')
    broken = SimpleNamespace(main=Mock(side_effect=error), printable=printable)
    monkeypatch.setattr(mmstadapter_cli, 'load', lambda name: broken)
    with pytest.raises(SystemExit, match=r'^x\\x1b\[2J\.pth is no file'):
        mmstadapter_cli.main(['train', 'x.py'])
