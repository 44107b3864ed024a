from mmengine.runner import Runner
from torch import nn

from mmstadapter.engine import FreezeReportHook, ParameterRow, count_parameters
from mmstadapter.engine.freeze_report import format_rows, tuned_parameters


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(10, 10).requires_grad_(False)
        self.after_attn = nn.Linear(10, 2)
        self.norm = nn.BatchNorm1d(3)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.cls_head = nn.Linear(10, 4)


def test_every_part_is_counted_and_a_trunk_gets_its_own_row():
    assert count_parameters(Model()) == [
        ParameterRow('backbone.trunk', frozen=110),
        ParameterRow('backbone.after_attn', tuned=22),
        ParameterRow('backbone.norm', tuned=6, buffers=7),
        ParameterRow('cls_head', tuned=44),
    ]


def test_the_number_reported_is_given_with_and_without_the_classifier():
    assert tuned_parameters(count_parameters(Model())) == (72, 28)


def test_a_backbone_without_trunk_is_one_row():
    model = nn.ModuleDict(dict(backbone=nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))))
    assert count_parameters(model) == [ParameterRow('backbone', tuned=12)]


def test_a_parameter_shared_by_two_parts_counts_once():
    model = Model()
    model.cls_head.weight = model.backbone.trunk.weight
    assert sum(row.total for row in count_parameters(model)) == 110 + 22 + 6 + 4


def test_the_table_ends_with_sums_and_the_number_reported():
    lines = format_rows(count_parameters(Model())).splitlines()
    assert lines[0].split() == ['part', 'tuned', 'frozen', 'total', 'buffers']
    assert lines[-2].split() == ['all', '72', '110', '182', '7']
    assert lines[-1] == 'tuned parameters: 72 (28 without the classifier)'


def test_the_start_of_training_logs_the_table(toy, tmp_path):
    runner = Runner.from_cfg(toy.toy_config(tmp_path))
    lines = []
    runner.logger.info = lines.append
    FreezeReportHook().before_train(runner)
    assert 'backbone.trunk' in lines[0]
    assert 'tuned parameters' in lines[0]
