"""docs/performance.md says what the stored files say, and they say what is counted today."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from torch._subclasses.fake_tensor import FakeTensorMode

from mmstadapter import STAdapterViT
from mmstadapter.planning import account_of
from mmstadapter.testing import tiny_trunk

FOLDER = Path(__file__).parents[2] / 'benchmarks'


@pytest.fixture
def page(monkeypatch):
    """The module that writes the page."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import performance_page

    yield performance_page
    for name in [n for n, m in sys.modules.items() if is_benchmark(m)]:
        del sys.modules[name]


def is_benchmark(module) -> bool:
    return str(getattr(module, '__file__', None) or '').startswith(str(FOLDER))


def test_the_page_is_what_the_files_make_of_it(page):
    assert page.PAGE.read_text() == page.page()


def test_every_row_is_accounted_for_in_both_precisions(page):
    entries = json.loads(page.latest('performance_torch*.json').read_text())['entries']
    assert {row.key(p) for row in page.ROWS for p in ('16 bit', 'float32')} <= entries.keys()


def test_a_run_on_a_gpu_fills_its_columns(page, tmp_path, monkeypatch):
    run = tmp_path / 'gpu' / 'results' / '2027-01-01_H100'
    run.mkdir(parents=True)
    name = 'ST-Adapter B/16 12x384'
    rows = [
        dict(name=f'{name}, 32x8, ours', ms=70.0, clips_s=457.0, share=0.4, peak_gb=10.9),
        dict(name=f'{name}: ratio to plain', ours=0.61),
    ]
    text = '\n'.join(json.dumps(dict(row, section='steps')) for row in rows)
    (run / 'results.jsonl').write_text(text)
    for file in (*FOLDER.glob('*.json'), *FOLDER.glob('*.md')):
        (tmp_path / file.name).write_text(file.read_text())
    monkeypatch.setattr(page, 'FOLDER', tmp_path)
    written = page.page()
    assert '2027-01-01_H100: 70 ms, 457 clips/s, 10.9 GB' in written
    assert '2027-01-01_H100: 0.61' in written


@pytest.mark.slow
def test_a_small_row_is_counted_as_it_is_stored(page):
    import performance

    init_default_scope('mmaction')
    row = next(row for row in page.ROWS if row.method == 'linear classifier')
    stored = json.loads(page.latest('performance_torch*.json').read_text())['entries']
    for precision in ('16 bit', 'float32'):
        entry = performance.entry(row, precision)
        for field in ('peak', 'operations', 'traffic'):  # another torch may copy a little more
            assert entry[field] == pytest.approx(stored[row.key(precision)][field], rel=0.02)


@pytest.mark.slow
@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason='PyTorch is built without CUDA')
def test_a_compiled_step_computes_the_same_products_and_moves_less(page):
    from compiled_steps import count

    with FakeTensorMode(allow_non_fake_inputs=True):
        model = STAdapterViT(trunk=tiny_trunk(), bottleneck_dims=16).train()
        video = torch.empty(2, 3, 8, 32, 32)
        compiled = count(model, video)
        plain = account_of(
            lambda: model(video).float().square().sum(), model, [video], autocast=torch.bfloat16
        )
    products = sum(kernel.operations for kernel in compiled.kernels)
    assert products == pytest.approx(plain.operations, rel=0.02)
    assert sum(kernel.nbytes for kernel in compiled.kernels) < 0.9 * plain.traffic
