"""A training on a trunk in 8 bits: written as on a plain one, and resumed where it stopped."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmstadapter.commands.train import main
from mmstadapter.models.ops.quantized import is_quantized

pytestmark = pytest.mark.slow
pytest.importorskip('torchao', reason='torchao is not installed')


@pytest.fixture
def run(toy):
    """Trains two epochs under a name; its checkpoint's weights and the losses of its steps."""

    def trained(name: str, *options: str, quantize: str | None = 'int8', **changes):
        config = Config(toy.toy_config(name, epochs=2) | changes)
        config.model.backbone.trunk.quantize = quantize
        config.custom_hooks.append(dict(type='Record', path=f'{name}.jsonl'))
        config.dump(f'{name}.py')
        main([f'{name}.py', *options])
        lines = Path(f'{name}.jsonl').read_text().splitlines()
        kept = torch.load(f'{name}/epoch_2.pth', weights_only=True)['state_dict']
        return kept, torch.tensor([json.loads(line)['loss'] for line in lines])

    return trained


def test_is_resumed_where_it_would_have_gone(run):
    kept, losses = run('whole')
    again, rest = run('resumed', '--resume', 'whole/epoch_1.pth')
    torch.testing.assert_close(rest, losses[3:])
    torch.testing.assert_close(again, kept, rtol=1e-4, atol=1e-5)


def test_writes_what_a_plain_run_writes(run):
    (kept, losses), (plain, others) = run('rounded'), run('plain', quantize=None)
    assert [(n, t.shape, t.dtype) for n, t in kept.items()] == [
        (n, t.shape, t.dtype) for n, t in plain.items()
    ]
    assert not any(is_quantized(t) for t in kept.values())
    assert not torch.equal(losses, others)
    torch.testing.assert_close(losses, others, rtol=0.1, atol=0.1)
