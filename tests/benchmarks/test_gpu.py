"""The checks for a GPU run, and find nothing wrong, at toy size on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'gpu' / 'check_gpu.py'
SECTIONS = 'golden,backbones,steps,depthwise,elementwise,parts,retrieval,search'


@pytest.fixture(scope='module')
def rows(tmp_path_factory):
    """Every line of results.jsonl of a quick run."""
    out = tmp_path_factory.mktemp('gpu')
    command = [sys.executable, SCRIPT, '--out', out, '--quick', '--sections', SECTIONS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(line) for line in (out / 'results.jsonl').read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.processes
def test_a_quick_run_has_a_row_of_every_section_and_no_fault(rows):
    assert {row['section'] for row in rows} == {'machine', 'sum', *SECTIONS.split(',')}
    assert {row['status'] for row in rows} <= {'ok', 'info', 'skipped'}
    golden = [row for row in rows if row['section'] == 'golden' and 'agree' in row]
    assert golden and all(row['status'] == 'ok' for row in golden)


@pytest.mark.slow
@pytest.mark.processes
def test_ours_and_the_plain_form_are_timed_side_by_side(rows):
    ratios = [row for row in rows if row['name'].endswith('ratio to plain')]
    assert ratios and all(row['ours'] > 0 for row in ratios)
