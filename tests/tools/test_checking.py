"""`check` decodes what is new, compares the rest, and never takes damage for the new truth."""

import fcntl
import json
import os
from threading import Timer

import pytest

from mmstadapter.apis import checking
from mmstadapter.apis.checking import check_videos
from mmstadapter.datasets.checked import NAME, read_table
from mmstadapter_cli import main

from ..datasets.conftest import cut_short, write_video


@pytest.fixture
def folder(tmp_path):
    for name in 'abc':
        write_video(tmp_path / f'{name}.mp4', frames=5, size=(32, 32))
    return tmp_path


def table(folder) -> bytes:
    return (folder / NAME).read_bytes()


@pytest.mark.processes
class TestAgain:
    def test_nothing_is_decoded_twice(self, folder):
        assert check_videos(folder).decoded == 3
        before = table(folder)
        report = check_videos(folder)
        assert (report.decoded, report.good, report.is_well) == (0, 3, True)
        assert table(folder) == before

    def test_what_is_new_is_added(self, folder):
        check_videos(folder)
        write_video(folder / 'd.mp4', frames=5, size=(32, 32))
        report = check_videos(folder)
        assert (report.decoded, report.good) == (1, 4)

    def test_what_cannot_be_decoded_is_tried_again(self, folder):
        cut_short(folder / 'a.mp4', folder / 'd.mp4')
        first = check_videos(folder)
        assert list(first.wrong) == ['d.mp4'] and first.good == 3
        assert check_videos(folder).decoded == 1

    def test_a_changed_video_stays_in_the_table_as_it_was(self, folder):
        check_videos(folder)
        before = table(folder)
        write_video(folder / 'b.mp4', frames=6, size=(32, 32))
        report = check_videos(folder)
        assert report.changed == ['b.mp4'] and not report.is_well
        assert table(folder) == before

    def test_until_it_is_accepted(self, folder):
        check_videos(folder)
        write_video(folder / 'b.mp4', frames=6, size=(32, 32))
        (folder / 'c.mp4').unlink()
        assert check_videos(folder).gone == ['c.mp4']
        assert check_videos(folder, accept=True).is_well
        assert {name: entry.frames for name, entry in read_table(folder / NAME).items()} == {
            'a.mp4': 5,
            'b.mp4': 6,
        }

    def test_a_copy_gets_its_own_time(self, folder):
        check_videos(folder)
        os.utime(folder / 'a.mp4', (1, 1))
        assert check_videos(folder).decoded == 0
        assert read_table(folder / NAME)['a.mp4'].mtime_ns == 10**9


@pytest.mark.processes
class TestKilled:
    def test_what_was_done_is_taken_over(self, folder):
        check_videos(folder)
        lines = table(folder).splitlines(keepends=True)
        (folder / NAME).unlink()
        (folder / f'{NAME}.part').write_bytes(lines[0] + lines[1][:50])
        report = check_videos(folder)
        assert (report.decoded, report.good) == (2, 3)
        assert table(folder) == b''.join(lines)
        assert sorted(os.listdir(folder)) == ['a.mp4', 'b.mp4', 'c.mp4', NAME]

    def test_a_stop_keeps_what_was_done(self, folder):
        def stop(done, total, name):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check_videos(folder, progress=stop)
        assert not (folder / NAME).exists()
        assert check_videos(folder).decoded == 2

    def test_a_process_that_dies_is_named_with_its_video(self, folder, monkeypatch):
        monkeypatch.setattr(checking, 'look', lambda *_: os._exit(9))
        with pytest.raises(RuntimeError, match='A process died, of one of these.*\n.*mp4'):
            check_videos(folder)

    def test_the_processes_of_a_killed_run_are_waited_for(self, folder):
        file = open(folder / f'{NAME}.part', 'a')
        fcntl.flock(file, fcntl.LOCK_EX)
        Timer(0.3, file.close).start()
        assert check_videos(folder).good == 3


class TestRefusals:
    def test_two_writers(self, folder, monkeypatch):
        monkeypatch.setattr(checking, 'PATIENCE', 0.1)
        with open(folder / f'{NAME}.part', 'a') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(RuntimeError, match='another process is writing'):
                check_videos(folder)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no folder and no list'):
            check_videos(tmp_path / 'none')
        with pytest.raises(ValueError, match='no videos in'):
            check_videos(tmp_path)
        assert not os.listdir(tmp_path)


class TestCommand:
    def call(self, capsys, *words) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(['check', *map(str, words)])
        printed = capsys.readouterr()
        return end.value.code, printed.out + printed.err

    @pytest.mark.processes
    def test_says_what_is_wrong_and_ends_with_1(self, folder, capsys):
        assert self.call(capsys, folder) == (
            0,
            f'{folder / NAME}: 3 good videos, 3 decoded now\n',
        )
        cut_short(folder / 'a.mp4', folder / 'b.mp4')
        (folder / 'c.mp4').rename(folder / 'new\nline.mp4')
        status, said = self.call(capsys, folder)
        assert status == 1
        assert 'changed since it was checked: b.mp4\ngone: c.mp4\n' in said
        status, said = self.call(capsys, folder, '--accept', '--json', '-')
        assert status == 1
        found = json.loads(said)
        assert (list(found['wrong']), found['changed'], found['good']) == (['b.mp4'], [], 2)

    def test_ends_with_a_sentence(self, folder, capsys):
        status, _ = self.call(capsys, folder / 'none')
        assert 'check: no folder and no list' in status
