"""Ctrl-C in a training ends it with one line that says how to go on."""

import pytest
from mmengine.config import Config

from mmstadapter.commands import train
from mmstadapter.runs.interrupted import how_to_go_on


@pytest.fixture
def saved(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('run/epoch_3.pth')
    return str(tmp_path)


def test_the_line_holds_the_checkpoint_and_the_command(saved):
    line = how_to_go_on(saved, ['train', 'my config.py', '--amp'])
    assert line == (
        "Stopped; run/epoch_3.pth is kept. Go on with: mmstadapter train 'my config.py' --amp "
        '--resume'
    )


@pytest.mark.parametrize('words', [['--resume', 'a.pth'], ['--resume=a.pth'], ['--resume']])
def test_the_newest_checkpoint_is_resumed_whatever_was_before(saved, words):
    resumed = 'auto' if words == ['--resume'] else 'a.pth'
    line = how_to_go_on(saved, ['train', *words, '--amp', 'a.py'], resumed)
    assert line.endswith('mmstadapter train --amp a.py --resume')


def test_before_the_first_checkpoint_it_begins_anew(tmp_path):
    assert how_to_go_on(str(tmp_path), ['train', 'a.py']).startswith('Stopped before the first')


def test_several_processes_are_started_as_before(saved):
    line = how_to_go_on(saved, ['train', 'a.py'], alone=False)
    assert line.endswith('Go on with the same command and --resume.')


def test_the_command_ends_with_it_and_nothing_else(saved, monkeypatch, capsys):
    class Interrupted:
        def train(self):
            raise KeyboardInterrupt

    cfg = Config(dict(work_dir=saved, launcher='none'))
    monkeypatch.setattr('mmstadapter.launch.read_config', lambda args: cfg)
    monkeypatch.setattr('mmstadapter.launch.build_runner', lambda cfg: Interrupted())
    with pytest.raises(SystemExit) as ended:
        train.main(['stadapter_vit-b_k400.py'])
    assert ended.value.code == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('Stopped; run/epoch_3.pth is kept. Go on with: mmstadapter train ')
