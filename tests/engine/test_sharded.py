"""A trunk in shares learns what a whole one learns, and takes a share of its memory."""

import json
from pathlib import Path

import pytest
from mmaction.registry import MODELS

import mmstadapter.engine.sharded as sharded
from mmstadapter.testing import tiny_trunk

SCRIPT = Path(__file__).with_name('sharded_run.py')


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize('processes', [2, 4])
def test_processes_with_shares_train_as_with_whole_trunks_and_resume(python, tmp_path, processes):
    done = python(SCRIPT, tmp_path, processes=processes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(processes)]
    for each in found:
        plain, shared, resumed = each['plain'], each['sharded'], each['resumed']
        assert len(plain['losses']) == len(resumed['losses']) > 1
        assert shared['losses'] == pytest.approx(plain['losses'], rel=1e-4)
        assert resumed['losses'] == pytest.approx(shared['losses'], rel=1e-4)
        assert shared['tuned'] == found[0]['sharded']['tuned']
        if processes == 2:  # of more, DDP adds up in the order of its buckets, a new one's first
            assert resumed['tuned'] == shared['tuned']
        assert shared['metrics'] == plain['metrics']
        assert plain['here'] == plain['whole'] == shared['whole']
        assert shared['here'] < 1.2 * shared['whole'] / processes
    kept = [set(each['saved']) for each in (found[0]['plain'], found[0]['sharded'])]
    assert kept[0] == kept[1] and not any('.trunk.blocks.' in name for name in kept[0])


def test_a_trunk_without_a_pretrained_file_is_not_shared_out():
    model = MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk()))
    with pytest.raises(ValueError, match='come from no pretrained file'):
        sharded.ShardedTrunk(model)


def test_a_checkpoint_with_frozen_weights_is_refused(monkeypatch):
    model = MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk()))
    state = model.state_dict()
    monkeypatch.setattr(sharded, 'is_share', lambda tensor: True)
    with pytest.raises(RuntimeError, match='Give a tuned-only checkpoint'):
        sharded.refuse_shares(model, state, '')
    sharded.leave_out_shares(model, state, '', {})
    assert not state
