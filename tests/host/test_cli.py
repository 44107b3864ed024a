"""The mmstadapter command and the scripts that start several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmstadapter import cli, shipped

CLONE = Path(__file__).parents[2]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """A command from another folder, with the clone's package."""
    environment = os.environ | {'PYTHONPATH': str(CLONE)} | environment
    return subprocess.run(
        command, env=environment, cwd='/', capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def call(monkeypatch, capsys):
    """Calls the command in this process; gives what it printed, or the process it started."""

    class Started(Exception):
        pass

    def execv(program, arguments):
        raise Started(arguments)

    def call(*arguments: str):
        monkeypatch.setattr(sys, 'argv', ['mmstadapter', *arguments])
        try:
            cli.main()
        except Started as started:
            return started.args[0]
        return capsys.readouterr().out

    monkeypatch.setattr(os, 'execv', execv)
    return call


def test_help_lists_every_command_with_a_sentence(call):
    text = call('--help')
    assert text == call()
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line[:2] == '  '}
    assert set(cli.TOOLS) | {'configs'} <= set(lines)
    assert all(len(lines[name]) >= 2 for name in [*cli.TOOLS, 'configs'])


def test_the_console_command_answers_without_importing_what_it_starts():
    script = CLONE / 'tools' / 'mmstadapter'
    code = (
        f"import runpy, sys; sys.argv = ['mmstadapter', '--help']; runpy.run_path({str(script)!r})"
        "; print({'torch', 'mmengine'} & set(sys.modules))"
    )
    lines = run(sys.executable, '-c', code).stdout.splitlines()
    assert lines[0].startswith('usage: mmstadapter COMMAND')
    assert lines[-1] == 'set()'


def test_every_command_has_its_tool():
    assert len(cli.TOOLS) >= 7
    assert all((shipped.root() / 'tools' / tool).is_file() for tool in cli.TOOLS.values())


def test_configs_lists_the_shipped_names(call):
    assert 'stadapter_vit-b_k400.py' in call('configs').splitlines()


def test_a_shipped_name_becomes_its_path(call):
    python, tool, config, *options = call(
        'train', 'stadapter_vit-b_k400.py', '--cfg-options', 'model.type=x.py'
    )
    assert python == sys.executable
    assert Path(tool).name == 'train.py'
    assert Path(config).is_file()
    assert options == ['--cfg-options', 'model.type=x.py']


def test_a_path_stays_a_path(call, tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text('')
    assert call('test', str(mine), 'last.pth')[2:] == [str(mine), 'last.pth']


def test_the_words_of_a_search_are_no_configs(call):
    assert call('search', 'somebody', 'types', 'hello.py')[2:] == ['somebody', 'types', 'hello.py']


@pytest.mark.parametrize(
    ('words', 'answer'),
    [
        (['trian'], "no command 'trian'. Did you mean train"),
        (['train', 'stadapter_vit-b_k40.py'], 'Did you mean stadapter_vit-b_k400.py'),
    ],
)
def test_unknown_names_are_answered_with_the_closest(call, words, answer):
    with pytest.raises(SystemExit, match=answer.replace('?', r'\?')):
        call(*words)


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_help_of_the_tools_leaves_gpus_to_mim(tool):
    done = run(sys.executable, str(CLONE / 'tools' / f'{tool}.py'), '--help')
    assert done.returncode == 0
    # mim passes --gpus on, and --device with it, if the help names it.
    assert '--gpus' not in done.stdout
    assert '--cfg-options' in done.stdout


def test_train_names_the_closest_config():
    done = run(sys.executable, str(CLONE / 'tools' / 'train.py'), 'stadapter_vit-b_k40.py')
    assert done.returncode != 0
    assert 'Did you mean stadapter_vit-b_k400.py' in done.stderr


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
