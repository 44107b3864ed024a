"""What `mmstadapter fit` prints, and how it ends when it is done, fails or is interrupted."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmstadapter.apis import finished
from mmstadapter.apis.estimate import Estimate, gib, span
from mmstadapter.apis.showing import run_shown
from mmstadapter.commands import fit

LOG = """
01/02 03:04:05 - mmengine - INFO - Config:
model = dict(
    type='Recognizer3D')
01/02 03:04:05 - mmengine - INFO - paramwise_options -- cls_head.fc.bias:lr=0.001
01/02 03:04:05 - mmengine - WARNING - the disk is slow
01/02 03:04:05 - mmengine - WARNING - the disk is slow
01/02 03:04:05 - mmengine - INFO - \x1b[1mtuned parameters: 1,818 (1,800 without the classifier)
01/02 03:04:06 - mmengine - INFO - Epoch(train)  [2][10/12]  lr: 1  eta: 0:00:09  time: 1  loss: 0.9
01/02 03:04:06 - mmengine - INFO - Epoch(train)  [2][12/12]  lr: 1  eta: 0:00:08  time: 1  loss: 0.7
01/02 03:04:06 - mmengine - INFO - Epoch(val) [2][3/3]    acc/top1: 0.7500  acc/mean1: 0.75  time: 1
01/02 03:04:06 - mmengine - INFO - Epoch(test) [3/3]    retrieval/t2v/R1: 41.2346  time: 1
""".lstrip()


def script(tmp_path: Path, code: str) -> list[str]:
    (tmp_path / 'tool.py').write_text(code)
    return [sys.executable, str(tmp_path / 'tool.py')]


@pytest.fixture
def listens():
    """SIGINT interrupts, also where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.processes
class TestTheTerminal:
    def test_it_shows_what_a_user_waits_for_and_the_file_has_all(self, tmp_path, capsys):
        command = script(tmp_path, f'print({LOG!r})')
        assert run_shown(command, tmp_path / 'train.log') == 0
        assert capsys.readouterr().out.splitlines() == [
            'the disk is slow',
            'tuned parameters: 1,818 (1,800 without the classifier)',
            'epoch 2, loss 0.7, 0:00:08 left',
            'val: top-1 75.0 %',
            'test: R@1 41.2 %',
        ]
        whole = (tmp_path / 'train.log').read_text()
        assert "type='Recognizer3D'" in whole and '10/12' in whole and '\x1b' not in whole

    def test_a_failure_shows_its_end_and_its_status(self, tmp_path, capsys):
        command = script(tmp_path, "print('x\\n' * 99); raise SystemExit('no space left')")
        assert run_shown(command, tmp_path / 'train.log') == 1
        assert capsys.readouterr().err.endswith('no space left\n')

    def test_an_interruption_lets_the_command_end_by_itself(self, tmp_path, listens):
        code = """
import signal, time
try:
    print('01/02 03:04:05 - mmengine - WARNING - ready', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    open('closed', 'w').close()
"""
        command = script(tmp_path, code.replace("'closed'", repr(str(tmp_path / 'closed'))))
        log = tmp_path / 'train.log'

        def interrupt():
            while 'ready' not in (log.read_text() if log.exists() else ''):
                pass
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run_shown(command, log)
        assert (tmp_path / 'closed').exists()


class TestTheCommand:
    def test_a_missing_checkpoint_ends_it_before_any_video_is_opened(self, tmp_path):
        with pytest.raises(SystemExit, match='gone.pt.*neither a file nor a known name'):
            fit.main([str(tmp_path / 'no videos'), '--checkpoint', 'gone.pt'])

    def test_it_does_not_write_among_the_class_folders(self, tmp_path, monkeypatch):
        for name in ('walk', 'run'):
            (tmp_path / name).mkdir()
            (tmp_path / name / '0.mp4').touch()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match='would lie among the class folders'):
            fit.main(['.', '--dry-run'])
        assert not (tmp_path / 'work_dirs').exists()

    def test_a_work_dir_that_no_file_can_name_is_refused(self, tmp_path):
        root = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9')
        for name in ('walk', 'run'):
            os.makedirs(f'{root}/{name}')
            Path(f'{root}/{name}/0.mp4').touch()
        with pytest.raises(SystemExit, match='fit_caf.udce9 is no text in UTF-8'):
            fit.main([root, '--dry-run'])

    def test_an_interruption_says_how_to_go_on(self, tmp_path, monkeypatch, capsys):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(fit, 'run', interrupted)
        with pytest.raises(SystemExit) as end:
            fit.main([str(tmp_path)])
        assert end.value.code == 130
        assert 'The same command goes on' in capsys.readouterr().err

    @pytest.mark.processes
    def test_one_that_is_done_says_so_without_importing_the_package(self, tmp_path):
        (tmp_path / 'mine/a').mkdir(parents=True)
        (tmp_path / 'mine/a/0.mp4').touch()
        out = tmp_path / 'out'
        out.mkdir()
        for name in finished.RESULTS:
            (out / name).touch()
        words = ['mine', '--work-dir', 'out', '--epochs', '7']
        result = dict(top1=75.0, videos=20, top1_interval=[53.1, 88.8], chance=50.0)
        args = vars(fit.parse_args(words)) | dict(root=str(tmp_path / 'mine'))
        options = {k: v for k, v in args.items() if k not in ('dry_run', 'cfg_options')}
        asked = finished.digest(tmp_path / 'mine', options | dict(root='mine', options=None))
        finished.write_note(out, asked, result)
        code = (
            'import sys; from mmstadapter_cli import main; main(sys.argv[1:]); '
            "assert 'torch' not in sys.modules"
        )
        done = subprocess.run(
            [sys.executable, '-c', code, 'fit', *words],
            cwd=tmp_path,
            env=os.environ | dict(PYTHONPATH=str(Path(fit.__file__).parents[2])),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith('Already done')
        assert '75.0 % of 20 videos; 95 % sure: 53 to 89 %; chance: 50.0 %' in done.stdout

    def test_another_video_or_option_or_a_lost_file_is_not_done(self, tmp_path):
        (tmp_path / 'mine').mkdir()
        for name in finished.RESULTS:
            (tmp_path / name).touch()
        asked = finished.digest(tmp_path / 'mine', dict(epochs=7))
        finished.write_note(tmp_path, asked, dict(top1=1))
        assert finished.read_note(tmp_path, asked) == dict(top1=1)
        assert finished.read_note(tmp_path, finished.digest(tmp_path / 'mine', {})) is None
        (tmp_path / 'mine/new.mp4').touch()
        other = finished.digest(tmp_path / 'mine', dict(epochs=7))
        assert finished.read_note(tmp_path, other) is None
        (tmp_path / 'confusion.png').unlink()
        assert finished.read_note(tmp_path, asked) is None


def test_times_and_sizes_are_said_as_people_do():
    assert [span(s) for s in (41, 600, 9000)] == ['50 seconds', '10 minutes', '2.5 hours']
    assert [gib(b) for b in (5e6, 2**31)] == ['5 MiB', '2.0 GiB']


def test_too_little_memory_is_said_with_the_way_out():
    lines = Estimate('GPU x', 600, 20 * 2**30, 10 * 2**30).lines()
    assert lines[1] == 'about 10 minutes, 20.0 GiB of memory'
    assert 'only 10.0 GiB are free: give a smaller --batch-size' in lines[2]
