"""Small data sets made once."""

from pathlib import Path

import pytest

from mmstadapter.preparation import blinking_digits, moving_digits


@pytest.fixture(scope='session')
def small_set(tmp_path_factory) -> Path:
    """80 training and 80 validation clips on the grey ground."""
    root = tmp_path_factory.mktemp('moving_digits')
    moving_digits.prepare(root, 'small')
    return root


@pytest.fixture(scope='session')
def blinking_set(tmp_path_factory) -> Path:
    """60 training and 60 validation clips of appearances to be counted."""
    root = tmp_path_factory.mktemp('blinking_digits')
    blinking_digits.prepare(root, 'small')
    return root
