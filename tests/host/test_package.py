"""Importing the package gives every registered class by its dotted name."""

import inspect
import pkgutil
from importlib import import_module

import pytest
from mmengine.registry import MODELS

import mmstadapter
from mmstadapter.registry import CHILDREN

PARTS = ('apis', 'datasets', 'engine', 'evaluation', 'models')


@pytest.mark.parametrize('part', PARTS)
def test_every_public_name_of_a_part_is_exported(part):
    module = import_module(f'mmstadapter.{part}')
    assert module.__all__
    for name in module.__all__:
        assert getattr(mmstadapter, name) is getattr(module, name)
        assert name in mmstadapter.__all__


def test_no_part_is_forgotten():
    folders = {info.name for info in pkgutil.iter_modules(mmstadapter.__path__) if info.ispkg}
    commands = {'analysis', 'commands', 'demo', 'preparation', 'runs'}
    others = {'checks', 'exporting', 'pages', 'parity', 'planning', 'search', 'serving', 'sharing'}
    others |= {'streams', 'weights'}
    assert folders == {*PARTS, *commands, *others}


def test_every_registered_class_has_its_dotted_name():
    ours = {
        name: found
        for child in CHILDREN.values()
        for name, found in child.parent.module_dict.items()
        if inspect.isclass(found)
        and found.__module__.startswith('mmstadapter.')
        and not found.__module__.startswith('mmstadapter.demo.')  # registered by a benchmark's run
    }
    assert len(ours) >= 15
    for name, found in ours.items():
        assert getattr(mmstadapter, name) is found
        assert MODELS.get(f'mmstadapter.{name}') is found
