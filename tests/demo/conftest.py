"""The benchmark's scripts as modules, and a small data set made once."""

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
sys.path[:0] = [str(TOOLS / 'data' / 'moving_digits'), str(TOOLS)]


@pytest.fixture(scope='session')
def small_set(tmp_path_factory) -> Path:
    """80 training and 80 validation clips on the grey ground."""
    from prepare import prepare

    root = tmp_path_factory.mktemp('moving_digits')
    prepare(root, 'small')
    return root
