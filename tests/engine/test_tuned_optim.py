import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from torch import nn

from mmstadapter.engine import TunedOptimWrapperConstructor


class Net(nn.Module):
    """A frozen trunk, two adapters and a head."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).requires_grad_(False)
        self.adapters = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(()))


def build(model, paramwise_cfg=None, **optimizer):
    optimizer = dict(type='AdamW', lr=0.1, weight_decay=0.01) | optimizer
    constructor = TunedOptimWrapperConstructor(dict(optimizer=optimizer), paramwise_cfg)
    return constructor(model)


def names(model, group):
    by_id = {id(p): name for name, p in model.named_parameters()}
    return [by_id[id(p)] for p in group['params']]


def test_only_tuned_parameters_are_optimised_in_one_group():
    model = Net()
    (group,) = build(model).optimizer.param_groups
    tuned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(names(model, group)) == tuned


def test_biases_are_not_decayed_and_everything_else_is():
    model = Net()
    groups = build(model, dict(bias_decay_mult=0.0)).optimizer.param_groups
    decay = {name: g['weight_decay'] for g in groups for name in names(model, g)}
    assert len(groups) == 2
    assert decay == {name: 0.0 if '.bias' in name else 0.01 for name in decay}


def test_the_released_recipe_on_st_adapter_decays_all_but_biases():
    from mmstadapter import STAdapterViT
    from mmstadapter.testing import tiny_trunk

    model = nn.ModuleDict(dict(backbone=STAdapterViT(tiny_trunk(), bottleneck_dims=8)))
    groups = build(model, dict(bias_decay_mult=0.0)).optimizer.param_groups
    decayed, plain = (names(model, g) for g in sorted(groups, key=lambda g: -g['weight_decay']))
    tuned = [name for name, p in model.named_parameters() if p.requires_grad]
    assert decayed == [name for name in tuned if '.bias' not in name]
    assert plain == [name for name in tuned if '.bias' in name]


def test_parameters_with_the_same_effective_settings_share_a_group():
    keys = {'adapters.0': dict(lr_mult=0.5), 'adapters.1': dict(lr_mult=0.5), 'head': dict()}
    groups = build(Net(), dict(custom_keys=keys)).optimizer.param_groups
    assert sorted((g['lr'], len(g['params'])) for g in groups) == [(0.05, 4), (0.1, 3)]


def test_a_shared_parameter_is_optimised_once():
    model = Net()
    model.head.weight = model.adapters[0].weight
    (group,) = build(model).optimizer.param_groups
    assert len(group['params']) == len({id(p) for p in group['params']}) == 6


def test_two_builds_give_the_same_groups_in_the_same_order():
    layouts = []
    for _ in range(2):
        model = Net()
        groups = build(model, dict(bias_decay_mult=0.0)).optimizer.param_groups
        layouts.append([names(model, g) for g in groups])
    assert layouts[0] == layouts[1]


def test_the_fused_optimizer_steps_on_the_groups():
    model = Net()
    wrapper = build(model, dict(bias_decay_mult=0.0), fused=True)
    before = model.head.weight.detach().clone()
    wrapper.update_params(model.head(torch.ones(2, 4)).square().sum())
    assert not torch.equal(model.head.weight, before)


def test_options_from_a_config_file_are_understood():
    cfg = Config(dict(optimizer=dict(type='AdamW', lr=0.1), paramwise_cfg=dict(bias_lr_mult=2.0)))
    constructor = TunedOptimWrapperConstructor(dict(optimizer=cfg.optimizer), cfg.paramwise_cfg)
    assert sorted(g['lr'] for g in constructor(Net()).optimizer.param_groups) == [0.1, 0.2]


def test_a_model_without_tuned_parameters_is_refused_with_advice():
    with pytest.raises(ValueError, match=r'all 11 tensors .* are frozen.*tune'):
        build(Net().requires_grad_(False))


def test_no_log_line_per_frozen_tensor(caplog):
    logger = MMLogger.get_instance('test_tuned_optim')
    logger.addHandler(caplog.handler)
    build(Net(), dict(bias_decay_mult=0.0))
    assert not [r for r in caplog.records if 'is skipped' in r.getMessage()]
    assert logging.root.manager.disable == logging.NOTSET


def test_warnings_are_heard_after_the_groups_are_made(capsys):
    MMLogger.get_instance('after-groups')
    model = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    TunedOptimWrapperConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    print_log('still heard', 'current', level=30)
    heard = capsys.readouterr()
    assert 'still heard' in heard.out + heard.err


class TestBatchNormsUnderAccumulation:
    """As released: their rate is divided by the number of accumulated batches."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.bn = nn.Sequential(nn.BatchNorm1d(4))

    def rates(self, model, wanted=True, counts=4):
        settings = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.15))
        constructor = TunedOptimWrapperConstructor(
            settings | dict(accumulative_counts=counts), dict(bn_lr_by_accumulation=wanted)
        )
        groups = constructor(model).optimizer.param_groups
        assert {g['weight_decay'] for g in groups} == {0.15}
        return {name: g['lr'] for g in groups for name in names(model, g)}

    def test_their_rate_is_divided(self):
        rates = self.rates(self.Net())
        assert rates.pop('bn.0.weight') == rates.pop('bn.0.bias') == 0.025
        assert set(rates.values()) == {0.1}

    def test_the_others_keep_theirs_and_so_do_they_without_accumulation(self):
        assert set(self.rates(self.Net(), counts=1).values()) == {0.1}

    def test_by_default_nothing_is_divided(self):
        assert set(self.rates(self.Net(), wanted=False).values()) == {0.1}

    def test_synchronised_ones_keep_their_rate(self):
        model = nn.SyncBatchNorm.convert_sync_batchnorm(self.Net())
        assert set(self.rates(model).values()) == {0.1}

    def test_a_rate_of_ones_own_is_divided_too(self):
        settings = dict(optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=4)
        keys = dict(bn_lr_by_accumulation=True, custom_keys={'bn': dict(lr_mult=0.5)})
        model = self.Net()
        groups = TunedOptimWrapperConstructor(settings, keys)(model).optimizer.param_groups
        assert sorted(g['lr'] for g in groups) == [0.0125, 0.1]
