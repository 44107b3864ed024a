"""A user's config of a few lines inherits a shipped one, from any folder."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import (
    DATASETS,
    HOOKS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    DefaultScope,
    Registry,
)

from mmstadapter import shipped
from mmstadapter.registry import CHILDREN


@pytest.fixture
def mine(tmp_path):
    """Reads a config file of the given text, in a folder of its own."""

    def read(text: str) -> Config:
        path = tmp_path / 'mine.py'
        path.write_text(text)
        return Config.fromfile(str(path))

    return read


def every_type(value) -> list[dict]:
    """All dicts with a type in a config."""
    if isinstance(value, dict):
        below = [found for item in value.values() for found in every_type(item)]
        return ([value] if 'type' in value else []) + below
    if isinstance(value, list | tuple):
        return [found for item in value for found in every_type(item)]
    return []


@pytest.mark.parametrize('name', shipped.configs())
@pytest.mark.sweep
def test_every_shipped_config_is_inherited_to_the_letter(mine, name):
    inherited = mine(f"_base_ = 'mmstadapter::{name}'\n")
    assert inherited.to_dict() == Config.fromfile(str(shipped.config(name))).to_dict()


def test_three_changed_fields_change_three_fields(mine):
    cfg = mine(
        "_base_ = 'mmstadapter::stadapter_vit-b_k400.py'\n"
        'model = dict(backbone=dict(bottleneck_dims=96), cls_head=dict(num_classes=7))\n'
        'train_dataloader = dict(batch_size=2)\n'
    )
    assert cfg.model.backbone.bottleneck_dims == 96
    assert cfg.model.backbone.kernel_size == (3, 1, 1)
    assert (cfg.model.cls_head.num_classes, cfg.train_dataloader.batch_size) == (7, 2)
    assert cfg.default_scope == 'mmaction'


def test_a_field_of_a_step_is_set_in_the_inherited_loader(mine, tmp_path):
    """As docs/architecture.md shows it; the run's own copy of the config says the same."""
    page = (Path(__file__).parents[2] / 'docs/architecture.md').read_text()
    cfg = mine(dedent(re.search(r'(?m)^    _base_.+\n(    .+\n)+', page)[0]))
    loaders = [cfg[f'{kind}_dataloader'] for kind in ('train', 'val', 'test')]
    assert [loader.dataset.pipeline[1].clip_len for loader in loaders] == [16, 16, 16]
    other = Config.fromfile(shipped.config('stadapter_vit-b_ssv2_16f.py'))
    assert [other[f'{kind}_dataloader'] for kind in ('train', 'val', 'test')] == loaders
    cfg.dump(str(tmp_path / 'dumped.py'))
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


def test_a_model_is_joined_with_data_of_ones_own(mine):
    cfg = mine(
        "_base_ = ['mmstadapter::_base_/models/side4video_vit-b.py', 'mmstadapter::_base_/datasets/"
        "k400.py', 'mmstadapter::_base_/default_runtime.py']\n"
        'model = dict(cls_head=dict(num_classes=7))\n'
    )
    assert (cfg.model.backbone.side_dims, cfg.model.cls_head.num_classes) == (320, 7)
    assert cfg.model.backbone.trunk == cfg.trunk


def test_a_piece_in_a_folder_is_inherited(mine):
    assert mine("_base_ = 'mmstadapter::_base_/trunks/clip_vit-l-p14.py'\n").trunk.arch


def test_inherited_dicts_carry_no_scope_of_ours(mine):
    cfg = mine("_base_ = 'mmstadapter::stadapter_vit-b_k400.py'\n")
    found = every_type(cfg.to_dict())
    assert len(found) > 20
    assert 'mmstadapter' not in {item.get('_scope_') for item in found}


def test_a_misspelt_name_is_answered_with_the_closest(mine):
    with pytest.raises(FileNotFoundError, match='Did you mean stadapter_vit-b_k400.py'):
        mine("_base_ = 'mmstadapter::stadapter_vitb_k400.py'\n")


class TestScope:
    """``_scope_='mmstadapter'`` finds our names, MMAction2's and MMEngine's."""

    def test_every_registry_of_mmaction_has_a_child(self):
        assert len(CHILDREN) == 23
        assert all(isinstance(child, Registry) for child in CHILDREN.values())
        assert all(child.parent.scope == 'mmaction' for child in CHILDREN.values())

    def test_a_nested_model_of_bare_names_is_built(self):
        head = dict(type='I3DHead', num_classes=3, in_channels=8, _scope_='mmstadapter')
        head['loss_cls'] = dict(type='CrossEntropyLoss', loss_weight=2.0)
        assert MODELS.build(head).loss_cls.loss_weight == 2.0

    def test_our_bare_name_is_found(self):
        with DefaultScope.overwrite_default_scope('mmstadapter'):
            head = MODELS.build(dict(type='VideoHead', num_classes=3, in_channels=8))
        assert type(head).__module__.startswith('mmstadapter.')

    @pytest.mark.parametrize(
        ('registry', 'name', 'package'),
        [
            (TRANSFORMS, 'DecordInit', 'mmaction'),
            (TRANSFORMS, 'mmstadapter.VideoInit', 'mmstadapter'),
            (DATASETS, 'VideoDataset', None),
            (HOOKS, 'CheckpointHook', 'mmengine'),
            (OPTIMIZERS, 'AdamW', 'torch'),
            (PARAM_SCHEDULERS, 'CosineAnnealingLR', 'mmengine'),
        ],
    )
    def test_names_of_every_layer_are_found(self, registry, name, package):
        with registry.switch_scope_and_registry('mmstadapter') as ours:
            found = ours.get(name)
        assert found is not None
        assert package is None or found.__module__.startswith(package)
