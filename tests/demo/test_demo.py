"""The demonstration: what it prints, keeps, repeats and reaches."""

import json
import shutil
import subprocess
import sys

import pytest

from mmstadapter.demo import demonstration, picture, search
from mmstadapter.demo import runs as demo_runs
from mmstadapter.demo.runs import Console, Run, StepFailed, execute
from mmstadapter.demo.search import SearchRun

PYTHON = sys.executable
TRAIN = (
    'mmengine - INFO - Epoch(train)  [3][100/100]  base_lr: 1.5e-03 lr: 1.5e-03  eta: 0:00:52  '
    'time: 0.1254  data_time: 0.0219  grad_norm: 0.0345  loss: 0.0153  top1_acc: 1.0000'
)
VAL = 'mmengine - INFO - Epoch(val) [3][10/10]    acc/top1: 0.9875  acc/top5: 1.0000  time: 0.5'

RETRIEVED = (
    'mmengine - INFO - Epoch(val) [3][10/10]    retrieval/t2v/R1: 96.7500  retrieval/t2v/R5: 99.0  '
    'retrieval/v2t/R1: 94.0000  retrieval/v2t/R5: 100.0  time: 0.5'
)


@pytest.fixture
def runs(tmp_path) -> list[Run]:
    """Four runs, not started, with a data folder that has what they read."""
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'recipe.json').write_text('{"seed": 0}')
    (data / 'clip_tiny.safetensors').write_bytes(b'weights')
    console = Console(0.0)
    return [
        Run(method, task, data, tmp_path / 'work', None, False, console)
        for method in demo_runs.METHODS
        for task in demo_runs.TASKS
    ]


def finish(run: Run, top1: float, tuned: str) -> None:
    run.discard_others()
    run.result_file().write_text(json.dumps({'acc/top1': top1}))
    (run.folder / 'train.log').write_text(f'tuned parameters: {tuned} (1 without the classifier)')


def test_an_epoch_is_one_line(runs, capsys):
    for line in ('loading', TRAIN.replace('100/100', ' 20/100'), TRAIN, VAL):
        runs[0].condense(line)
    told = [line.split('motion')[1].strip() for line in capsys.readouterr().out.splitlines()]
    assert told == ['epoch 3: loss 0.015', 'epoch 3: validation 98.8 %']


def test_the_table_shows_both_tasks_and_the_bound(runs):
    for run, top1 in zip(runs, (0.5, 0.945, 0.9975, 0.95), strict=True):
        finish(run, top1, '776' if run.method == 'linear' else '38,984')
    rows = demonstration.table(runs).splitlines()[2:]
    assert rows == [
        '| linear probe, mean of frames | 776 | 50.0 | 94.5 |',
        '| ST-Adapter | 38,984 | 99.8 | 95.0 |',
        '| any bag of frames, at most | | 50.0 | |',
    ]


def test_a_finished_run_is_not_done_again(runs, monkeypatch):
    finish(runs[0], 0.5, '776')
    monkeypatch.setattr(demo_runs, 'execute', lambda *_: pytest.fail('called a command'))
    runs[0].complete()


@pytest.mark.parametrize('change', ['model', 'recipe', 'epochs'])
def test_a_run_with_other_inputs_starts_anew(runs, change):
    run = runs[0]
    finish(run, 0.5, '776')
    if change == 'model':
        (run.data_root / 'clip_tiny.safetensors').write_bytes(b'others')
    elif change == 'recipe':
        (run.data_root / 'recipe.json').write_text('{"seed": 1}')
    else:
        run.epochs = 2
    run.discard_others()
    assert not run.result_file().exists()


def test_a_stopped_run_keeps_what_it_has(runs):
    run = runs[0]
    run.discard_others()
    (run.folder / 'epoch_2.pth').write_bytes(b'')
    run.discard_others()
    assert (run.folder / 'epoch_2.pth').exists()


@pytest.mark.processes
def test_a_failed_command_shows_the_end_of_its_log(tmp_path):
    command = [PYTHON, '-c', 'print("before"); raise SystemExit("no such file")']
    with pytest.raises(StepFailed, match=r'ended with status 1(?s:.*)before(?s:.*)no such file'):
        execute(command, tmp_path / 'log', lambda line: None)


@pytest.mark.processes
def test_one_failure_stops_the_others(runs, monkeypatch):
    def command(run, verb):
        failing = run is runs[0]
        code = 'raise SystemExit(3)' if failing else 'import time; time.sleep(60)'
        return [PYTHON, '-c', code]

    monkeypatch.setattr(Run, 'command', command)
    with pytest.raises(StepFailed, match='ended with status 3'):
        demonstration.run_all(runs, 2)
    assert all(run.process is None or run.process.wait(10) is not None for run in runs)


def test_starting_afresh_deletes_results_and_nothing_else(tmp_path):
    data, work = tmp_path / 'data', tmp_path / 'work'
    for path in (data / 'videos' / 'a.mp4', work / 'linear-motion' / 'x', work / 'mine' / 'y'):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (data / 'notes.md').touch()
    demonstration.remove_results(data, work)
    assert (data / 'videos').exists(), 'a folder without our recipe is not ours'
    (data / 'recipe.json').write_text('{}')
    demonstration.remove_results(data, work)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file())
    assert left == ['data/notes.md', 'work/mine/y']


def test_the_picture_can_be_drawn(runs, small_set, tmp_path, monkeypatch):
    for run in runs:
        finish(run, 0.5, '776')
    monkeypatch.setattr(picture, 'EXAMPLE', 'three_grey')
    picture.draw(runs, small_set, demonstration.BOUND, tmp_path / 'result.png')
    assert (tmp_path / 'result.png').stat().st_size > 20_000


@pytest.fixture
def retriever(runs) -> SearchRun:
    """The run that searches, with the same data folder."""
    return SearchRun(runs[0].data_root, runs[0].folder.parent, None, False, Console(0.0))


class TestSearch:
    def test_a_trained_model_is_told_and_kept(self, retriever, monkeypatch, capsys):
        monkeypatch.setattr(retriever, 'call', lambda *_: retriever.condense(RETRIEVED))
        retriever.complete()
        line = 'tested: R@1 96.8 caption to video, 94.0 video to caption'
        assert line in capsys.readouterr().out
        assert json.loads(retriever.result_file().read_text()) == dict(t2v=96.75, v2t=94.0)
        monkeypatch.setattr(retriever, 'call', lambda *_: pytest.fail('called a command'))
        retriever.complete()

    def test_one_that_was_resumed_after_its_last_epoch_reads_its_log(self, retriever, monkeypatch):
        def call(command, log):
            (retriever.folder / log).write_text(f'loading\n{RETRIEVED}\n')

        monkeypatch.setattr(retriever, 'call', call)
        retriever.complete()
        assert retriever.summary().startswith('R@1 96.8')

    def test_both_towers_come_from_the_image_models_file(self, retriever):
        options = ' '.join(retriever.options('train'))
        file = retriever.data_root / 'clip_tiny.safetensors'
        assert f'model.text_tower.checkpoint={file}' in options
        assert f'model.backbone.trunk.checkpoint={file}' in options
        assert 'train_cfg.max_epochs=3' in options

    def test_it_prints_a_command_to_type_and_the_hits(self, retriever, monkeypatch):
        retriever.discard_others()
        (retriever.folder / 'last_checkpoint').write_text('epoch_3.pth')
        called = []

        def run(command, log, on_line):
            called.append(command[3])
            on_line('a line of the log')
            on_line('0.897     0:00.0    0:01.0  three_blue_left.mp4')

        monkeypatch.setattr(search, 'execute', run)
        command, *hits = retriever.search().splitlines()
        assert called == ['index', 'search']
        assert "search 'the digit three moves to the left' --index" in command
        assert hits == ['0.897     0:00.0    0:01.0  three_blue_left.mp4']

    def test_what_it_made_is_deleted_and_nothing_else(self, tmp_path):
        made = [tmp_path / 'side4video-captions' / 'x', tmp_path / 'index' / 'y']
        for path in (*made, tmp_path / 'mine' / 'z'):
            path.parent.mkdir()
            path.touch()
        (tmp_path / 'search.html').touch()
        search.remove(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ['mine']


@pytest.mark.processes
@pytest.mark.minutes
def test_the_demonstration_reaches_its_figures(tmp_path):
    subprocess.run([PYTHON, '-m', 'mmstadapter', 'demo'], cwd=tmp_path, check=True)
    rows = (tmp_path / 'work_dirs' / 'demo' / 'result.md').read_text().splitlines()[2:4]
    (linear, linear_digit), (adapter, adapter_digit) = (
        [float(cell) for cell in row.split('|')[3:5]] for row in rows
    )
    assert 45 <= linear <= 50, 'a model that averages frames cannot pass the bound'
    assert adapter >= 90
    assert min(linear_digit, adapter_digit) >= 88
    assert abs(linear_digit - adapter_digit) <= 6
    found = tmp_path / 'work_dirs' / 'demo' / 'side4video-captions' / 'result.json'
    assert min(json.loads(found.read_text()).values()) >= 75, 'the bound without order is 50'
    shutil.rmtree(tmp_path / 'data')
