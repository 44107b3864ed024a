"""Progress and tables: plain lines where nobody looks at a terminal."""

import io
import sys

import pytest

from mmstadapter.printing import in_columns
from mmstadapter.progress import Progress, clock, told


class TestProgress:
    def test_elsewhere_than_on_a_terminal_it_is_a_line_now_and_then(self, monkeypatch, capsys):
        monkeypatch.setattr('mmstadapter.progress.QUIET', -1)
        said: list[str] = []
        with Progress('videos', 3, 100, said.append) as bar:
            bar.done('a.mp4', 20)
            bar.say('bad: b.mp4')
            bar.done('b.mp4', 80)
        assert said[0].startswith('1/3 videos, 0:00 so far, about ')
        assert said[1] == 'bad: b.mp4'
        assert said[2] == '2/3 videos, 0:00 so far, about 0:00 left'
        assert capsys.readouterr() == ('', '')

    def test_short_tasks_say_nothing(self, capsys):
        assert list(told([1, 2], 2, 'batches')) == [1, 2]
        assert capsys.readouterr() == ('', '')

    def test_the_time_left_goes_by_weight(self):
        bar = Progress('videos', 10, weight=100)
        bar.begun -= 60
        bar.done(weight=75)
        assert bar.line(bar.begun + 60) == '1/10 videos, 1:00 so far, about 0:20 left'

    def test_an_unknown_number_is_no_error(self):
        bar = Progress('videos', None)
        bar.done('x')
        assert bar.line(bar.begun) == '1/? videos, 0:00 so far'

    def test_a_name_is_text_on_a_terminal(self, monkeypatch):
        terminal = io.StringIO()
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, 'stderr', terminal)
        monkeypatch.setenv('TERM', 'xterm')
        with Progress('videos', 2) as bar:
            bar.done('[bold]a\x1b[2J.mp4')
        assert r'[bold]a\x1b[2J.mp4' in terminal.getvalue()

    @pytest.mark.parametrize(
        ('seconds', 'text'), [(75, '1:15'), (0.2, '0:00'), (7500, '2 h 05 min')]
    )
    def test_times_are_short(self, seconds, text):
        assert clock(seconds) == text


class TestColumns:
    def test_figures_stand_to_the_right_and_no_line_ends_in_blanks(self):
        rows = [['part', 'tuned', ''], ['a.longer.name', '1,234', 'x'], ['b', '5', '']]
        assert in_columns(rows, 'lrl').split('\n') == [
            'part           tuned',
            'a.longer.name  1,234  x',
            'b                  5',
        ]

    def test_nothing_is_cut_and_nothing_is_markup(self):
        long = 'x' * 500 + ' [red]:smile:'
        assert in_columns([[long, '日本'], ['y', 'z']], 'l').split('\n')[0] == f'{long}  日本'

    def test_no_rows_are_no_lines(self):
        assert in_columns([], 'l') == ''
