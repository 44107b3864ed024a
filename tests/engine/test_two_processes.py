"""Two processes on a CPU with gloo compute what one process computes."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

pytestmark = pytest.mark.processes


@pytest.fixture(scope='module')
def gradients(python, tmp_path_factory) -> list[dict]:
    """Gradients by name, from one process and from two."""
    out = tmp_path_factory.mktemp('gradients')
    script = Path(__file__).with_name('ddp_gradients.py')
    for processes in (1, 2):
        done = python(script, out / f'{processes}.pth', processes=processes, cwd=out)
        assert done.returncode == 0, done.stderr
    return [torch.load(out / f'{processes}.pth') for processes in (1, 2)]


def test_gradients_equal_those_of_one_process_on_the_joint_batch(gradients):
    one, two = gradients
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-6, msg=name)


def test_an_adapter_that_cannot_matter_gets_a_zero_gradient(gradients):
    for tuned in gradients:
        zero = {name.rsplit('.', 2)[0] for name, grad in tuned.items() if not grad.any()}
        assert zero == {'backbone.after_attn.2', 'backbone.after_mlp.2'}


@pytest.fixture(scope='module')
def trained(toy_run, tmp_path_factory) -> Path:
    """Work dir of two epochs of training and a test on two processes."""
    work_dir = tmp_path_factory.mktemp('two')
    done = toy_run(work_dir, '--epochs', 2, '--workers', 1, processes=2)
    assert done.returncode == 0, done.stderr
    return work_dir


def test_each_process_trains_on_its_own_share_of_every_epoch(trained):
    records = [
        (trained / name).read_text().splitlines() for name in ('record.jsonl', 'record1.jsonl')
    ]
    for epoch in range(2):
        shares = [
            [
                s
                for line in map(json.loads, lines)
                if line['epoch'] == epoch
                for s in line['samples']
            ]
            for lines in records
        ]
        assert [len(share) for share in shares] == [6, 6]  # 11 clips, one of them twice
        assert set(shares[0] + shares[1]) == set(range(11))


def test_metrics_count_each_video_once_and_equal_those_of_one_process(toy, trained, tmp_path):
    config = toy.toy_config(tmp_path, load_from=str(trained / 'epoch_2.pth'))
    metrics = Runner.from_cfg(config).test()

    one, two = (json.loads((d / 'seen.json').read_text()) for d in (tmp_path, trained))
    assert [index for index, _ in two] == list(range(7))
    torch.testing.assert_close(torch.tensor([s for _, s in two]), torch.tensor([s for _, s in one]))
    assert json.loads((trained / 'test.json').read_text()) == pytest.approx(metrics)
