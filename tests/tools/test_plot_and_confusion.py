"""Curves from a run's log, and who is taken for whom from the predictions of a test."""

import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.fileio import dump

from mmstadapter.analysis.curves import read_run
from mmstadapter.commands import confusion, plot


def write_log(folder, *rows) -> None:
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(map(json.dumps, rows)))


def training(epoch: int, iteration: int, loss: float) -> dict:
    return dict(loss=loss, lr=0.1, epoch=epoch, iter=iteration, step=iteration)


@pytest.fixture
def run(tmp_path):
    """Two epochs of ten steps, stopped in the second and resumed."""
    write_log(
        tmp_path / '1',
        training(1, 5, 3.0), training(1, 10, 2.0), {'acc/top1': 0.5, 'step': 1},
        training(2, 15, 9.0),
    )  # fmt: skip
    write_log(
        tmp_path / '2', training(2, 15, 1.5), training(2, 20, 1.0), {'acc/top1': 0.75, 'step': 2}
    )
    return tmp_path


class TestPlot:
    def test_training_and_validation_share_the_axis_of_epochs(self, run):
        series = read_run(run)
        assert series['acc/top1'] == [(1, 0.5), (2, 0.75)]
        assert [x for x, _ in series['loss']] == [0.5, 1, 1.5, 2]

    def test_what_a_resumed_run_did_again_counts_once(self, run):
        assert [y for _, y in read_run(run)['loss']] == [3.0, 2.0, 1.5, 1.0]

    def test_a_picture_and_the_last_values_come_out(self, run, capsys):
        plot.main([str(run), '--out', str(run / 'new/curves.png')])
        assert (run / 'new/curves.png').read_bytes()[:4] == b'\x89PNG'
        assert f'{run}: loss 1, acc/top1 0.75' in capsys.readouterr().out

    @pytest.mark.parametrize(
        ('words', 'message'),
        [
            (['--keys', 'los'], 'no los was logged. There: loss, lr, acc/top1.'),
            (['nowhere'], 'no */vis_data/scalars.json in nowhere'),
            (['--out', '/dev/null/x.png'], '/dev/null'),
        ],
    )
    def test_a_mistake_ends_with_a_sentence(self, run, words, message, capsys):
        with pytest.raises(SystemExit) as end:
            plot.main([str(run), *words])
        assert end.value.code == 1 and message in capsys.readouterr().err

    def test_a_file_that_is_no_log_is_named(self, tmp_path, capsys):
        (tmp_path / 'x.json').write_text('{"a": 1}\n')
        with pytest.raises(SystemExit):
            plot.main([str(tmp_path / 'x.json')])
        assert 'x.json is no log of a training' in capsys.readouterr().err


class Harmful:
    def __reduce__(self):
        return (print, ('executed',))


@pytest.fixture
def dumped(tmp_path):
    """Predictions of five videos of three classes, one of them lost, as DumpResults has them."""
    right = [(0, 0), (0, 1), (1, 1), (2, 0), (-1, 0)]
    samples = [
        dict(
            pred_score=torch.nn.functional.one_hot(torch.tensor(best), 3).float(),
            gt_label=torch.tensor([own]),
            img_shape=(32, 32),
            entropy=np.float64(0.5),
            frame_inds=np.arange(4),
        )
        for own, best in right
    ]
    path = tmp_path / 'predictions.pkl'
    dump(samples, path)
    (tmp_path / 'labels.txt').write_text('walk\nrun\nsit\n')
    return path


class TestConfusion:
    def call(self, path, *words):
        out = path.parent / 'confusion.png'
        labels = ['--labels', str(path.parent / 'labels.txt')]
        return confusion.main([str(path), '--out', str(out), *labels, *words])

    def test_counts_are_printed_drawn_and_written(self, dumped, capsys):
        assert self.call(dumped) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == 'top-1 40.0 % of 5 videos'  # the lost one is not right
        assert said[1] == '   0.0 %  sit  taken for walk (1 times)'
        assert said[3] == ' 100.0 %  run'
        result = json.loads((dumped.parent / 'confusion.json').read_text())
        assert result['counts'] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
        assert result['undecodable'] == 1
        assert (dumped.parent / 'confusion.png').read_bytes()[:4] == b'\x89PNG'

    def test_another_number_of_names_is_refused(self, dumped):
        (dumped.parent / 'labels.txt').write_text('walk\n')
        assert 'holds 1 names, the predictions are of 3 classes' in self.call(dumped)

    @pytest.mark.parametrize('content', [[Harmful()], 'words', [dict(pred_score=1)]])
    def test_what_holds_no_predictions_is_refused_and_not_executed(self, dumped, content, capsys):
        dumped.write_bytes(pickle.dumps(content))
        assert 'holds no predictions of a classifier' in self.call(dumped)
        assert 'executed' not in capsys.readouterr().out

    def test_a_file_that_is_not_there_is_named(self, dumped):
        dumped.unlink()
        assert 'No such file' in self.call(dumped)
