"""The released optimizer of retrieval: its update, its schedule, its groups."""

import copy

import pytest
import torch
from mmaction.registry import OPTIMIZERS, PARAM_SCHEDULERS
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from mmstadapter import BertAdam, BertWarmupCosineLR, NamedGroupsConstructor
from mmstadapter.engine.bert_adam import bert_warmup_cosine


def one_parameter(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def take_steps(optimizer, model, gradients):
    for seed in gradients:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def test_update_has_no_bias_correction_and_decays_by_the_rate():
    p = one_parameter(2.0)
    optimizer = BertAdam([p], lr=0.1, weight_decay=0.5, max_grad_norm=None)
    p.grad = torch.tensor([0.3], dtype=torch.float64)
    optimizer.step()
    first, second = 0.1 * 0.3, 0.02 * 0.3**2
    expected = 2.0 - 0.1 * (first / (second**0.5 + 1e-6) + 0.5 * 2.0)
    torch.testing.assert_close(p.item(), expected, rtol=1e-12, atol=0)


def test_each_tensor_is_clipped_alone_and_in_place():
    long, short = one_parameter(0.0, 0.0), one_parameter(0.0)
    long.grad, short.grad = torch.tensor([30.0, 40.0]).double(), torch.tensor([0.5]).double()
    BertAdam([long, short], lr=0.1).step()
    torch.testing.assert_close(long.grad, torch.tensor([0.6, 0.8]).double(), rtol=1e-6, atol=0)
    assert short.grad.item() == 0.5


def test_a_tensor_without_gradient_is_not_decayed():
    p, idle = one_parameter(1.0), one_parameter(1.0)
    p.grad = torch.ones(1).double()
    BertAdam([p, idle], lr=0.1, weight_decay=0.5).step()
    assert idle.item() == 1.0
    assert p.item() < 1.0


def test_resumed_training_is_bit_equal():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    other = copy.deepcopy(model)
    optimizer = BertAdam(model.parameters(), lr=0.1)
    take_steps(optimizer, model, range(6))

    before = BertAdam(other.parameters(), lr=0.1)
    take_steps(before, other, range(3))
    after = BertAdam(other.parameters(), lr=0.7)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    take_steps(after, other, range(3, 6))
    for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_closure_is_called_with_gradients_on():
    p = one_parameter(1.0)

    def closure():
        loss = p.square().sum()
        loss.backward()
        return loss

    assert BertAdam([p], lr=0.1).step(closure).item() == 1.0
    assert p.item() < 1.0


@pytest.mark.parametrize(
    'wrong', [dict(lr=-1.0), dict(betas=(0.9, 1.0)), dict(max_grad_norm=0.0)], ids=str
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match='BertAdam: needs lr'):
        BertAdam([one_parameter(1.0)], **dict(lr=0.1) | wrong)


def test_sparse_gradients_are_refused():
    table = nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='dense'):
        BertAdam(table.parameters(), lr=0.1).step()


def test_it_is_built_from_a_config():
    config = dict(type='mmstadapter.BertAdam', lr=0.1, betas=[0.9, 0.98])
    optimizer = OPTIMIZERS.build(config | dict(params=[one_parameter(1.0)]))
    assert optimizer.param_groups[0]['betas'] == (0.9, 0.98)


# ----------------------------------------------------------------------- schedule


def test_the_factor_falls_from_one_where_the_warm_up_ends():
    below, at = bert_warmup_cosine(0.1 - 1e-9, 0.1), bert_warmup_cosine(0.1, 0.1)
    assert below == pytest.approx(1.0)
    assert at == pytest.approx(0.9755283)
    assert bert_warmup_cosine(0.0, 0.1) == 0.0
    assert bert_warmup_cosine(1.0, 0.1) == pytest.approx(0.0)


def test_the_scheduler_follows_the_released_rates():
    # lr 0.002, t_total 8, warm-up 0.25, as the authors' optimizer reports them
    released = [0.0, 0.001, 0.0017071067811865474, 0.00138268343236509]
    released += [0.001, 0.0006173165676349102, 0.00029289321881345256, 7.612046748871326e-05]
    config = dict(
        type='mmstadapter.BertWarmupCosineLR',
        warmup=0.5,
        by_epoch=True,
        convert_to_iter_based=True,
        end=2,
        epoch_length=4,
    )
    optimizer = BertAdam([one_parameter(1.0)], lr=0.002)
    scheduler = PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=optimizer))
    assert isinstance(scheduler, BertWarmupCosineLR)
    rates = []
    for _ in released:
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(released)


# ------------------------------------------------------------------------- groups


class Net(nn.Module):
    """Parts named as in a retriever."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict(
            dict(trunk=nn.LayerNorm(2), side=nn.MultiheadAttention(4, 1), ice=nn.Linear(2, 2))
        )
        self.backbone['ice'].requires_grad_(False)
        self.logit_scale = nn.Parameter(torch.ones(()))


RELEASED = dict(lr_mult={'backbone.trunk.': 1e-3, 'logit_scale': 1e-3}, no_decay=['bias'])


def build(model, paramwise_cfg):
    config = dict(
        type='OptimWrapper',
        constructor='mmstadapter.NamedGroupsConstructor',
        optimizer=dict(type='mmstadapter.BertAdam', lr=1e-4, weight_decay=0.2),
        paramwise_cfg=paramwise_cfg,
        clip_grad=dict(max_norm=1.0),
    )
    return build_optim_wrapper(model, config)


def test_groups_are_those_of_the_released_recipe():
    model = Net()
    wrapper = build(model, RELEASED)
    assert isinstance(wrapper, OptimWrapper)
    by_id = {id(p): name for name, p in model.named_parameters()}
    settings = {
        by_id[id(p)]: (g['lr'], g['weight_decay'])
        for g in wrapper.optimizer.param_groups
        for p in g['params']
    }
    clip, new = pytest.approx(1e-7), pytest.approx(1e-4)
    assert len(wrapper.optimizer.param_groups) == 4
    assert settings == {
        'logit_scale': (clip, 0.2),
        'backbone.trunk.weight': (clip, 0.2),
        'backbone.trunk.bias': (clip, 0.0),
        'backbone.side.in_proj_weight': (new, 0.2),
        'backbone.side.in_proj_bias': (new, 0.0),
        'backbone.side.out_proj.weight': (new, 0.2),
        'backbone.side.out_proj.bias': (new, 0.0),
    }


def test_the_longest_start_counts():
    model = Net()
    optimizer = build(model, dict(lr_mult={'backbone': 0.1, 'backbone.side': 10.0})).optimizer
    rates = {id(p): g['lr'] for g in optimizer.param_groups for p in g['params']}
    assert rates[id(model.backbone['side'].in_proj_weight)] == pytest.approx(1e-3)
    assert rates[id(model.backbone['trunk'].weight)] == pytest.approx(1e-5)
    assert rates[id(model.logit_scale)] == pytest.approx(1e-4)


def test_a_start_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match=r"starts with \['text'\].*backbone"):
        build(Net(), dict(lr_mult={'text': 0.1}))


def test_options_of_another_constructor_are_refused():
    with pytest.raises(ValueError, match='bias_decay_mult'):
        NamedGroupsConstructor(dict(optimizer=dict(type='SGD', lr=1)), dict(bias_decay_mult=0.0))
