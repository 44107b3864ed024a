"""docs/model_zoo.md is true, and its operations are those of the formulas and of the papers."""

from pathlib import Path

import pytest
import yaml
from mmengine.registry import init_default_scope

from mmstadapter.analysis import model_zoo, side4video_rows
from mmstadapter.commands import report
from mmstadapter.weights import fetch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    init_default_scope('mmaction')
    return model_zoo


@pytest.mark.slow
def test_the_page_is_what_the_report_writes(tool):
    page = (ROOT / 'docs/model_zoo.md').read_text()
    assert tool.page() == page, 'run `mmstadapter report --write docs/model_zoo.md`'


@pytest.mark.slow
def test_every_recipe_of_the_paper_is_in_it(tool):
    listed = {stem for data in tool.DATA for stem in tool.stems(data)}
    assert set(tool.PAPER) <= listed
    assert len(listed) >= 23


@pytest.mark.slow
def test_mims_index_says_the_same(tool):
    models = yaml.safe_load((ROOT / 'configs/stadapter-metafile.yml').read_text())['Models']
    assert {m['Name'] for m in models} == {s for data in tool.DATA for s in tool.stems(data)}
    for model in models:
        config, notes = tool.load(model['Name']), model['Metadata']
        assert notes['Tuned Parameters'] == tool.costs(config).tuned
        assert notes['Frames'] == tool.frames_of(config)
        assert notes['Batch Size'] == config.auto_scale_lr.base_batch_size
        length = notes.get('Epochs', notes.get('Steps'))
        assert length == config.train_cfg.get('max_epochs', config.train_cfg.get('max_steps'))
        assert notes['Training Data'] == tool.DATA[model['Name'].split('_')[2]]


@pytest.mark.parametrize(
    ('stem', 'tuned', 'gmacs'),
    [  # counted in the authors' code
        ('stadapter_vit-b_k400', 7_417_744, 151.6),
        ('stadapter_vit-b_ssv2', 14_354_094, 162.7),
        ('stadapter_vit-l_k400', 19_355_024, 686.8),
        ('stadapter_vit-l_ssv2', 19_123_374, 686.8),
    ],
)
def test_counts_are_those_of_the_authors_code(tool, stem, tuned, gmacs):
    cost = tool.costs(tool.load(stem))
    assert cost.tuned == tuned
    assert round(cost.full / 1e9, 1) == gmacs


@pytest.mark.slow
def test_the_full_form_is_within_a_permille_and_a_half_of_the_paper(tool):
    for stem, (gflops, *_) in tool.PAPER.items():
        if gflops is not None:
            config = tool.load(stem)
            clips, squares = tool.views_of(config)
            ours = tool.costs(config).full * clips * squares / 1e9
            assert 0 < gflops - ours < 0.0015 * gflops + 0.5, stem


def formula(dims, layers, patch, size, frames, adapters, width, taps, classes) -> int:
    """Multiply-adds of all tokens through all layers."""
    patches = (size // patch) ** 2
    tokens = patches + 1
    block = 12 * tokens * dims**2 + 2 * tokens**2 * dims
    adapter = patches * width * (2 * dims + taps)
    image = patches * dims * 3 * patch**2 + layers * (block + adapters * adapter)
    return frames * image + dims * classes


@pytest.mark.parametrize(
    ('stem', 'numbers'),
    [
        ('stadapter_vit-b_k400_16f', (768, 12, 16, 224, 16, 1, 384, 3, 400)),
        ('stadapter_vit-b_ssv2', (768, 12, 16, 224, 8, 2, 384, 3, 174)),
        ('stadapter_vit-l336_hmdb51', (1024, 24, 14, 336, 8, 1, 384, 3, 51)),
    ],
)
def test_the_full_form_is_the_formula(tool, stem, numbers):
    assert tool.costs(tool.load(stem)).full == formula(*numbers)


def test_ours_saves_the_last_blocks_idle_part(tool):
    """Queries, attention, output and MLP of the patches, and the adapter behind attention."""
    cost, tokens, dims = tool.costs(tool.load('stadapter_vit-b_k400')), 197, 768
    idle = 10 * (tokens - 1) * dims**2 + 2 * (tokens - 1) * tokens * dims
    idle += 196 * 384 * (2 * dims + 3)
    assert cost.full - cost.ours == 8 * idle


@pytest.fixture
def rows(tool):
    return side4video_rows


class TestSide4Video:
    @pytest.mark.parametrize(
        ('stem', 'three_views'),
        [  # counted in the authors' code, in GMACs
            ('side4video_vit-b-light_ssv2', 444.5),
            ('side4video_vit-b_ssv2', 527.1),
            ('side4video_vit-l-light_ssv2', 2090.0),
            ('side4video_vit-l_ssv2', 2608.0),
            ('side4video_vit-e_ssv2', 28354.0),
        ],
    )
    @pytest.mark.slow
    def test_operations_are_those_of_the_authors_code(self, tool, stem, three_views):
        cost = tool.costs(tool.load(stem))
        assert cost.full == cost.ours
        assert 3e-9 * cost.ours == pytest.approx(three_views, abs=0.05, rel=5e-5)

    @pytest.mark.slow
    def test_they_are_within_two_permille_of_table_2(self, tool, rows):
        for stem, (gflops, tuned, _) in rows.TABLE_2.items():
            cost = tool.costs(tool.load(stem))
            assert 0 < gflops - 3e-9 * cost.ours < 0.002 * gflops
            assert cost.tuned // 1e6 == int(tuned[:-2]) or f'{cost.tuned / 1e6:.0f} M' == tuned

    @pytest.mark.slow
    def test_views_and_operations_are_those_of_tables_4_and_5(self, tool, rows):
        for stem, (printed, _) in rows.PAPER.items():
            config = tool.load(stem)
            clips, squares = tool.views_of(config)
            view, _, views = printed.partition(' x ')
            assert clips * squares == int(views or 3)
            view = int(view) if views else int(view) / 3
            share = 1e-9 * tool.costs(config).ours / view
            assert 1.18 < share < 1.19 if 'vit-e' in stem else 0.97 < share < 1.001, stem

    @pytest.mark.slow
    def test_every_result_of_the_paper_is_listed(self, rows):
        listed = {stem for data in rows.DATA for stem in rows.stems(data)}
        assert set(rows.PAPER) <= listed and len(rows.PAPER) == 21
        assert len(listed) == 18 + 10

    @pytest.mark.slow
    def test_mims_index_says_the_same(self, tool, rows):
        models = yaml.safe_load((ROOT / 'configs/side4video-metafile.yml').read_text())['Models']
        data = {model['Name'].split('_')[2] for model in models}
        assert data == set(rows.DATA)
        listed = {stem for data in rows.DATA for stem in rows.stems(data)}
        assert {model['Name'] for model in models} == listed
        for model in models:
            config, notes = tool.load(model['Name']), model['Metadata']
            assert model['Config'] == f'configs/{model["Name"]}.py'
            assert notes['Frames'] == tool.frames_of(config)
            assert notes['Batch Size'] == config.auto_scale_lr.base_batch_size
            assert notes['Epochs'] == config.train_cfg.max_epochs
            assert notes['Training Data'] == rows.DATA[model['Name'].split('_')[2]]
            if model['Name'] in rows.PAPER:
                assert notes['Tuned Parameters'] == tool.costs(config).tuned


def test_mims_index_is_whole():
    imported = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert sorted(imported) == sorted(
        str(p.relative_to(ROOT)) for p in (ROOT / 'configs').glob('*-metafile.yml')
    )


@pytest.mark.slow
def test_mim_downloads_what_a_recipe_starts_from(tool):
    for path in (ROOT / 'configs').glob('*-metafile.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            file = tool.load(model['Name']).model.backbone.trunk.checkpoint
            known = fetch.KNOWN[file].url if file in fetch.KNOWN else file.rpartition('/')[2]
            assert known in model['Weights'], model['Name']


def test_the_command_prints_the_page(tool, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'tables', lambda: iter(['| a |\n']))
    report.main([])
    assert capsys.readouterr().out == tool.HEAD + '| a |\n'
