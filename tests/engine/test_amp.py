import logging

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mmstadapter.engine import AmpOptimWrapper
from mmstadapter.engine import amp as amp_module


def wrapper(model, **options):
    return AmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), **options)


def forward_dtype(**options):
    model = nn.Linear(4, 2)
    amp = wrapper(model, **options)
    with amp.optim_context(model):
        return model(torch.ones(1, 4)).dtype


@pytest.fixture
def cpu_only(monkeypatch):
    monkeypatch.setattr(amp_module, '_has_accelerator', lambda: False)


@pytest.mark.usefixtures('cpu_only')
class TestWithoutAccelerator:
    @pytest.mark.parametrize('dtype', [None, 'float16', torch.float16, 'float32'])
    def test_trains_in_float32(self, dtype):
        assert forward_dtype(dtype=dtype) == torch.float32

    def test_bfloat16_is_autocast(self):
        assert forward_dtype(dtype='bfloat16') == torch.bfloat16

    def test_says_so_once_in_the_log(self, caplog):
        from mmengine.logging import MMLogger

        MMLogger.get_instance('test_amp').addHandler(caplog.handler)
        wrapper(nn.Linear(4, 2))
        (record,) = [r for r in caplog.records if 'AmpOptimWrapper' in r.getMessage()]
        assert record.levelno == logging.WARNING
        assert 'float32' in record.getMessage()

    def test_steps_as_the_plain_optimizer_with_clipping_and_accumulation(self):
        model, plain = nn.Linear(4, 2), nn.Linear(4, 2)
        plain.load_state_dict(model.state_dict())
        amp = wrapper(model, accumulative_counts=2, clip_grad=dict(max_norm=1.0))
        optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
        batches = torch.arange(8.0).reshape(2, 1, 4)
        for x in batches:
            amp.update_params(model(x).square().sum())
            (plain(x).square().sum() / 2).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        torch.testing.assert_close(model.weight, plain.weight)

    def test_state_moves_between_cpu_and_accelerator(self):
        model = nn.Linear(4, 2)
        state = wrapper(model).state_dict()
        wrapper(model).load_state_dict(state | {'loss_scaler': {'scale': 1024.0}})
        assert not state['loss_scaler']


def test_an_accelerator_ignores_the_empty_scaler_state_of_a_cpu_run():
    model = nn.Linear(4, 2)
    amp = wrapper(model)
    amp.loss_scaler = torch.amp.GradScaler('cpu', enabled=True, init_scale=8.0)
    amp.load_state_dict(amp.optimizer.state_dict() | {'loss_scaler': {}})
    assert amp.loss_scaler.get_scale() == 8.0


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match='float16'):
        wrapper(nn.Linear(4, 2), dtype='half')


def test_training_under_bfloat16_runs_and_keeps_float32_masters(toy, tmp_path):
    config = toy.toy_config(tmp_path, epochs=2)
    config['optim_wrapper'] |= dict(dtype='bfloat16', accumulative_counts=2)
    model = Runner.from_cfg(config).train()
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
