"""A small data set made once."""

from pathlib import Path

import pytest

from mmstadapter.preparation.moving_digits import prepare


@pytest.fixture(scope='session')
def small_set(tmp_path_factory) -> Path:
    """80 training and 80 validation clips on the grey ground."""
    root = tmp_path_factory.mktemp('moving_digits')
    prepare(root, 'small')
    return root
