"""docs/model_zoo.md is true, and its operations are those of the formula and of the paper."""

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    """tools/analysis/report.py as a module."""
    spec = importlib.util.spec_from_file_location('report', ROOT / 'tools/analysis/report.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    init_default_scope('mmaction')
    return module


def test_the_page_is_what_the_report_writes(tool):
    page = (ROOT / 'docs/model_zoo.md').read_text()
    assert tool.HEAD + ''.join(tool.tables()) == page, (
        'run `python tools/analysis/report.py --write docs/model_zoo.md`'
    )


def test_every_recipe_of_the_paper_is_in_it(tool):
    listed = {stem for data in tool.DATA for stem in tool.stems(data)}
    assert set(tool.PAPER) <= listed
    assert len(listed) >= 23


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


def test_the_command_prints_the_page(tool, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'tables', lambda: iter(['| a |\n']))
    monkeypatch.setattr(sys, 'argv', ['report.py'])
    tool.main()
    assert capsys.readouterr().out == tool.HEAD + '| a |\n'
