"""The mmstadapter command and the scripts that start several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmstadapter_cli import COMMANDS, config_path, main

CLONE = Path(__file__).parents[2]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """A command from another folder, with the clone's package."""
    environment = os.environ | {'PYTHONPATH': str(CLONE)} | environment
    return subprocess.run(
        command, env=environment, cwd='/', capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def call(capsys):
    """Calls the command in this process; gives what it printed."""

    def call(*arguments: str) -> str:
        status = main(list(arguments))
        assert not status, status
        return capsys.readouterr().out

    return call


class TestOverview:
    def test_it_lists_every_command_with_a_sentence(self, call):
        text = call('--help')
        assert text == call() == call('help')
        lines = {x.split()[0]: x.split()[1:] for x in text.splitlines() if x[:2] == '  '}
        assert set(COMMANDS) | {'--version'} == set(lines)
        assert all(len(lines[name]) >= 2 for name in COMMANDS)

    def test_every_module_of_the_commands_is_listed(self):
        modules = {path.stem for path in (CLONE / 'mmstadapter/commands').glob('[a-z]*.py')}
        assert modules == {name.replace('-', '_') for name in COMMANDS}

    def test_an_unknown_command_is_answered_with_the_closest(self):
        assert "no command 'trian'. Did you mean train" in main(['trian'])


@pytest.mark.parametrize('command', COMMANDS)
class TestHelp:
    def test_it_names_the_command_and_shows_an_example(self, command, capsys):
        with pytest.raises(SystemExit) as end:
            main([command, '--help'])
        said = capsys.readouterr().out
        assert end.value.code == 0
        assert said.startswith(f'usage: mmstadapter {command} ')
        assert f'\n    mmstadapter {command}' in said

    def test_help_of_a_command_is_its_own(self, command, capsys):
        with pytest.raises(SystemExit):
            main(['help', command])
        assert capsys.readouterr().out.startswith(f'usage: mmstadapter {command} ')


@pytest.mark.processes
def test_overview_and_every_help_come_without_importing_the_package():
    code = (
        'import contextlib, os, sys, mmstadapter_cli as cli\n'
        'with contextlib.redirect_stdout(open(os.devnull, "w")):\n'
        '    cli.main(["--help"])\n'
        '    cli.main(["configs"])\n'
        '    for name in cli.COMMANDS:\n'
        '        with contextlib.suppress(SystemExit):\n'
        '            cli.main([name, "--help"])\n'
        'print({"torch", "mmengine", "mmstadapter"} & set(sys.modules))'
    )
    assert run(sys.executable, '-c', code).stdout == 'set()\n'


def test_configs_lists_the_shipped_names_with_their_first_line(call):
    line = next(x for x in call('configs').splitlines() if x.startswith('stadapter_vit-b_k400.py'))
    assert 'ST-Adapter 12x384, CLIP ViT-B/16, 8 frames, Kinetics-400' in line


def test_configs_takes_words_of_names_and_descriptions(call):
    found = call('configs', 'SIDE4VIDEO', 'msr-vtt').splitlines()
    assert found and all(line.startswith('side4video_') for line in found)
    assert len(found) < len(call('configs').splitlines())


def test_configs_says_where_nothing_matches(capsys):
    with pytest.raises(SystemExit) as end:
        main(['configs', 'stadaptor'])
    assert end.value.code == 1
    assert 'No recipe holds stadaptor' in capsys.readouterr().err


def test_a_shipped_name_becomes_its_path_and_a_path_stays_one(tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text('')
    assert Path(config_path('stadapter_vit-b_k400.py')).is_file()
    assert config_path(str(mine)) == str(mine)


@pytest.mark.parametrize('command', ['train', 'test', 'publish', 'count'])
def test_a_mistyped_config_is_answered_with_the_closest(command, capsys):
    with pytest.raises(SystemExit):
        main([command, 'stadapter_vit-b_k40.py', 'x.pth', 'x.safetensors'])
    assert 'Did you mean stadapter_vit-b_k400.py' in capsys.readouterr().err


@pytest.mark.parametrize('tool', ['train', 'test'])
@pytest.mark.processes
def test_the_files_that_mim_runs_leave_gpus_to_it(tool):
    done = run(sys.executable, str(CLONE / 'tools' / f'{tool}.py'), '--help')
    assert done.returncode == 0
    # mim passes --gpus on, and --device with it, if the help names it.
    assert '--gpus' not in done.stdout
    assert '--cfg-options' in done.stdout


@pytest.mark.parametrize('words', ['-h', 'configs', 'fit -h'])
@pytest.mark.processes
def test_a_reader_that_leaves_early_is_no_error(words):
    script = f'set -o pipefail; "$0" -m mmstadapter_cli {words} | head -n 1'
    done = run('bash', '-c', script, sys.executable)
    assert (done.returncode, done.stderr) == (0, '')
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.processes
def test_a_log_whose_reader_left_goes_on_in_silence():
    code = (
        'import logging, sys, mmstadapter_cli as cli\n'
        'logging.basicConfig(stream=sys.stdout, level=20)\n'
        'with cli.reader_may_leave():\n'
        '    for i in range(20000): logging.info("line %d", i)\n'
        '    print("done", file=sys.stderr)'
    )
    script = f'set -o pipefail; "$0" -c \'{code}\' | head -n 1'
    done = run('bash', '-c', script, sys.executable)
    assert (done.returncode, done.stderr) == (0, 'done\n')


@pytest.mark.processes
class TestScripts:
    """dist_*.sh and slurm_*.sh, with stand-ins for python, srun and scontrol."""

    @pytest.fixture
    def start(self, tmp_path):
        stand_ins = {
            'python': 'echo python "$@"',
            # srun: drop its own options, run the command as the second of two machines.
            'srun': 'echo srun "$@"; while [ "$1" != bash ]; do shift; done; "$@"',
            'scontrol': 'printf "node-a\\nnode-b\\n"',
        }
        for name, body in stand_ins.items():
            (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{body}\n')
            (tmp_path / name).chmod(0o755)

        def start(script: str, *arguments: str, **environment: str):
            environment |= {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
            return run('bash', str(CLONE / 'tools' / script), *arguments, **environment)

        return start

    def test_one_machine_takes_a_free_port(self, start):
        words = start('dist_train.sh', 'c.py', '2', '--amp').stdout.split()
        assert words[1:4] == ['-m', 'torch.distributed.run', '--standalone']
        assert words[4:6] == ['--nproc_per_node', '2']
        assert words[6].endswith('tools/train.py')
        assert words[7:] == ['c.py', '--launcher', 'pytorch', '--amp']

    def test_several_machines_meet_at_the_given_one(self, start):
        text = start(
            'dist_test.sh',
            'c.py',
            'x.pth',
            '4',
            NNODES='2',
            NODE_RANK='1',
            MASTER_ADDR='h',
            PORT='5',
        ).stdout
        assert '--nnodes 2 --node_rank 1 --master_addr h --master_port 5' in text
        assert text.strip().endswith('tools/test.py c.py x.pth --launcher pytorch')

    def test_slurm_starts_torchrun_once_a_machine(self, start):
        text = start(
            'slurm_train.sh', 'gpu', 'job', 'c.py', '--resume', GPUS='16', SLURM_NNODES='2',
            SLURM_NODEID='1', SLURM_JOB_ID='7', SLURM_JOB_NODELIST='node-[a-b]',
        ).stdout  # fmt: skip
        assert '-p gpu --job-name=job --nodes=2 --ntasks-per-node=1 --gres=gpu:8' in text
        assert '--nnodes 2 --node_rank 1 --master_addr node-a --master_port 20007' in text
        assert text.strip().endswith('tools/train.py c.py --launcher pytorch --resume')

    @pytest.mark.parametrize('kind', ['dist', 'slurm'])
    @pytest.mark.parametrize('tool', ['train', 'test'])
    def test_too_few_words_print_the_usage(self, start, kind, tool):
        done = start(f'{kind}_{tool}.sh', 'c.py')
        assert done.returncode == 2
        assert f'bash tools/{kind}_{tool}.sh' in done.stdout
