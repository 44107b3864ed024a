"""Every line of docs/ablations.md builds and changes what it says, and nothing else."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmstadapter import shipped
from mmstadapter.engine.freeze_report import count_parameters, tuned_parameters
from mmstadapter.engine.warmup_cosine import WarmupCosineLR
from mmstadapter.launch import parse_options
from mmstadapter.testing import tiny_trunk, toy_clips

PAGE = Path(__file__).parents[2] / 'docs' / 'ablations.md'
ROW = re.compile(r'\| (?P<name>[^|]+) \|(?:.*\|)? (?P<tuned>[\d,]+) \| `(?P<options>[^`]+)` \|')
ST_ADAPTER, SIDE4VIDEO = PAGE.read_text().split('\n# Side4Video\n')
ROWS = [match for line in ST_ADAPTER.splitlines() if (match := ROW.fullmatch(line))]
BASE = shipped.config('stadapter_vit-b_k400.py')


def flat(value, name: str = '') -> dict:
    """Every leaf of a config by its dotted name; lists of dicts are entered."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = enumerate(value)
    else:
        return {name: value}
    return {k: v for key, item in items for k, v in flat(item, f'{name}.{key}').items()}


def changed(options: str) -> Config:
    config = Config.fromfile(BASE)
    config.merge_from_dict(parse_options(shlex.split(options)))
    return config


def test_the_page_has_all_rows_of_the_paper():
    assert len(ROWS) == 5 + 5 + 4 + 4 + 4 + 3
    assert 'TUNED' not in PAGE.read_text()


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['options'].replace(' ', ','))
@pytest.mark.sweep
class TestEveryRow:
    def test_the_model_builds_with_the_count_of_the_page(self, row):
        with torch.device('meta'):
            model = MODELS.build(changed(row['options']).model)
        assert f'{tuned_parameters(count_parameters(model))[0]:,}' == row['tuned']

    def test_only_the_named_fields_change(self, row):
        before = flat(Config.fromfile(BASE).to_dict())
        after = flat(changed(row['options']).to_dict())
        different = {k[1:] for k in before | after if before.get(k) != after.get(k)}
        assert different <= {option.split('=')[0] for option in shlex.split(row['options'])}

    def test_the_warm_up_shrinks_with_the_schedule(self, row):
        config = changed(row['options'])
        schedule = dict(config.param_scheduler[0])
        assert schedule['warmup'] / config.train_cfg.max_epochs == pytest.approx(1 / 6, abs=1e-3)
        optimizer = torch.optim.AdamW([torch.zeros(1)], lr=1.0)
        built = WarmupCosineLR.build_iter_from_epoch(
            optimizer, epoch_length=9, end=config.train_cfg.max_epochs, warmup=schedule['warmup']
        )
        assert built.end == 9 * config.train_cfg.max_epochs


def test_the_same_options_fit_something_something():
    config = Config.fromfile(shipped.config('stadapter_vit-b_ssv2.py'))
    config.merge_from_dict(parse_options(['model.backbone.positions=before_attn']))
    with torch.device('meta'):
        backbone = MODELS.build(config.model).backbone
    assert [name for name, _ in backbone.named_children()] == ['trunk', 'before_attn']


def test_the_paper_config_is_shortened_as_the_page_says():
    (options,) = re.findall(r'`(train_cfg\.max_steps=\S+ \S+)`', PAGE.read_text())
    config = Config.fromfile(shipped.config('stadapter_vit-b-paper_k400.py'))
    share = config.param_scheduler[0].warmup / config.train_cfg.max_steps
    config.merge_from_dict(parse_options(shlex.split(options)))
    assert config.param_scheduler[0].warmup / config.train_cfg.max_steps == pytest.approx(
        share, abs=1e-4
    )
    assert config.train_cfg.max_steps == 10_000


def side4video_rows() -> list[tuple[str, re.Match]]:
    """Config of the heading, and row."""
    config, rows = '', []
    for line in SIDE4VIDEO.splitlines():
        if line.startswith('## '):
            config = re.search(r'`(\S+)`', line)[1]
        elif row := ROW.fullmatch(line):
            rows.append((config, row))
    return rows


def side4video(name: str, options: str) -> Config:
    config = Config.fromfile(shipped.config(name))
    config.merge_from_dict(parse_options(shlex.split(options)))
    return config


def test_the_page_has_all_rows_of_side4videos_table_9():
    headings = re.findall(r'Table 9([a-f])', SIDE4VIDEO)
    assert headings == list('abcdef')
    assert len(side4video_rows()) == 2 + 2 + 2 + 3 + 3 + 3 + 2


@pytest.mark.parametrize(
    ('name', 'row'), side4video_rows(), ids=lambda x: x if isinstance(x, str) else x['options']
)
@pytest.mark.sweep
class TestEveryRowOfSide4Video:
    def test_the_model_builds_with_the_count_of_the_page(self, name, row):
        with torch.device('meta'):
            model = MODELS.build(side4video(name, row['options']).model)
        assert f'{tuned_parameters(count_parameters(model))[0]:,}' == row['tuned']
        assert model.cls_head.in_channels == model.backbone.side.position_embedding.shape[1]

    def test_only_the_named_fields_change(self, name, row):
        before = flat(Config.fromfile(shipped.config(name)).to_dict())
        after = flat(side4video(name, row['options']).to_dict())
        different = {k[1:] for k in before | after if before.get(k) != after.get(k)}
        assert different <= {option.split('=')[0] for option in shlex.split(row['options'])}

    def test_it_runs_at_toy_size(self, name, row):
        backbone = side4video(name, row['options']).model.backbone
        backbone.trunk = tiny_trunk()
        backbone.update(side_dims=64, norm='pre')
        kind, number, _ = backbone.get('layers', 'all').partition('_')
        backbone.layers = kind + '_2' if number else kind
        assert MODELS.build(backbone)(toy_clips()).shape == (2, 64)


def test_one_view_is_tested_as_the_page_says():
    (options,) = re.findall(r'--cfg-options (num_views=\S+ \S+)', SIDE4VIDEO)
    for name in ('side4video_vit-b_ssv1.py', 'side4video_vit-e_ssv1.py'):
        steps = side4video(name, options).test_dataloader.dataset.pipeline
        assert [s.num_views for s in steps if 'num_views' in s] == [1]
        assert [s.num_crops for s in steps if 'num_crops' in s] == [1]


def test_a_share_of_the_videos_is_a_field_of_the_data_set():
    config = side4video('side4video_vit-b_ssv2.py', 'train_dataloader.dataset.fraction=0.05')
    assert config.train_dataloader.dataset.type == 'mmstadapter.VideoDataset'
    assert config.train_dataloader.dataset.fraction == 0.05
