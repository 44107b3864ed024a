"""Shared by all tests: MMAction2's scope, as its runner sets it."""

import pytest
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401  (mends the host packages)


@pytest.fixture(autouse=True)
def mmaction_scope():
    init_default_scope('mmaction')
