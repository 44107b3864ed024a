"""Our models give the numbers of the authors' code; the certificate notices when not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[1]
REFERENCE = Path(__file__).parent / 'reference'


def parity(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / 'tools/parity.py'), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def case(tmp_path):
    """A copy of one reference case."""
    for suffix in ('.json', '.safetensors'):
        shutil.copy(REFERENCE / f'st_adapter_5_last2_k133{suffix}', tmp_path / f'case{suffix}')
    return tmp_path / 'case.safetensors'


def test_every_reference_case_holds():
    result = parity(REFERENCE)
    assert result.returncode == 0, result.stdout + result.stderr
    assert '3 of 3 cases hold' in result.stdout
    # logits, loss, weights, trained, activations and every gradient with its norm and sum
    assert result.stdout.count('  ok  ') == 162
    assert 'eval/grad/transformer.resblocks.2.adapter_pre_attn.conv.weight' in result.stdout


@pytest.mark.parametrize(
    'tensor', ['eval/logits', 'eval/act/block1', 'eval/grad/fc.bias', 'param/fc.weight']
)
def test_a_changed_number_fails_the_certificate(case, tensor):
    tensors = load_file(case)
    tensors[tensor].flatten()[0] += 0.01
    save_file(tensors, case)
    result = parity(case)
    assert result.returncode == 1
    assert 'FAIL' in result.stdout


def test_other_constructor_arguments_fail_the_certificate(case):
    info = json.loads(case.with_suffix('.json').read_text())
    info['constructor']['heads'] = 2
    case.with_suffix('.json').write_text(json.dumps(info))
    assert parity(case).returncode == 1


def test_an_unknown_source_is_reported_and_fails(case):
    info = json.loads(case.with_suffix('.json').read_text())
    case.with_suffix('.json').write_text(json.dumps(info | dict(source='elsewhere')))
    result = parity(case, REFERENCE)
    assert result.returncode == 1
    assert 'known sources: linziyi96/st-adapter' in result.stdout
    assert '3 of 4 cases hold' in result.stdout


def test_a_missing_file_is_named(tmp_path):
    result = parity(tmp_path / 'nothing.safetensors')
    assert result.returncode != 0 and 'does not exist' in result.stderr
