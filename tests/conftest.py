"""Shared by all tests: MMAction2's scope, as its runner sets it, and one start of chance."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401  (mends the host packages)

# Processes that tests start import this clone's package, wherever they run.
CLONE = str(Path(__file__).parents[1])
os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [CLONE, os.environ.get('PYTHONPATH')]))


@pytest.fixture(autouse=True)
def mmaction_scope():
    init_default_scope('mmaction')


@pytest.fixture(autouse=True)
def same_chance():
    """A test's numbers do not hang on those before it, which differ from machine to machine."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
