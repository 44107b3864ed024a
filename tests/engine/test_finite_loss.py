import math

import pytest
import torch
from mmengine.runner import Runner

from mmstadapter.engine import FiniteLossHook


def run(toy, tmp_path, loss_of_iteration):
    """Train the toy with a model whose loss is given by the iteration."""
    config = toy.toy_config(tmp_path, epochs=2, val_dataloader=None, val_cfg=None)
    config |= dict(val_evaluator=None, test_dataloader=None, test_cfg=None, test_evaluator=None)
    runner = Runner.from_cfg(config)
    step = runner.model.train_step

    def train_step(data, optim_wrapper):
        outputs = step(data, optim_wrapper)
        outputs['loss'] = outputs['loss'] + loss_of_iteration(runner.iter)
        return outputs

    runner.model.train_step = train_step
    runner.train()
    return runner


def run_with_bad_gradient(toy, tmp_path, bad_step):
    """Train the toy; in one step the loss is a number and its gradient is not."""
    config = toy.toy_config(tmp_path, epochs=2, val_dataloader=None, val_cfg=None)
    config |= dict(val_evaluator=None, test_dataloader=None, test_cfg=None, test_evaluator=None)
    runner = Runner.from_cfg(config)
    plain = runner.model.loss

    def loss(*args, **kwargs):
        added = runner.model.cls_head.fc_cls.weight.sum() * 0
        if runner.iter == bad_step:
            added.register_hook(lambda grad: grad * math.nan)
        return plain(*args, **kwargs) | dict(loss_added=added)

    runner.model.loss = loss
    runner.train()


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_training_and_names_the_iteration(toy, tmp_path, bad):
    with pytest.raises(FloatingPointError, match=f'got {bad} in epoch 2, iteration 2 of 3'):
        run(toy, tmp_path, lambda i: bad if i == 4 else 0.0)


def test_the_last_checkpoint_is_from_before_the_failure(toy, tmp_path):
    with pytest.raises(FloatingPointError):
        run(toy, tmp_path, lambda i: math.nan if i == 5 else 0.0)
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_1.pth')


@pytest.mark.parametrize('bad_step, last', [(5, 'epoch_1.pth'), (2, None)])
def test_weights_broken_by_the_last_gradient_of_an_epoch_are_not_saved(
    toy, tmp_path, bad_step, last
):
    with pytest.raises(FloatingPointError, match=r'weights must be finite.* tuned tensors are not'):
        run_with_bad_gradient(toy, tmp_path, bad_step)
    written = tmp_path / 'last_checkpoint'
    assert written.read_text().endswith(last) if last else not written.exists()


def test_infinite_gradients_under_a_high_loss_scale_do_not_stop_it():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler('cpu', init_scale=3e38)
    loss = (weight * 100).sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(weight, torch.ones(2))  # the scaler skipped the step
    FiniteLossHook().after_train_iter(None, 0, None, dict(loss=loss))


def test_a_step_without_a_loss_is_left_alone():
    FiniteLossHook().after_train_iter(None, 0, None, None)
