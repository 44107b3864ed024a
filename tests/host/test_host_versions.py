"""Host packages outside the tried versions are refused with a readable sentence."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mmstadapter import host_versions

REQUIREMENTS = Path(__file__).parents[2] / 'requirements' / 'runtime.txt'


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these versions are installed, on top of a complete set."""
    versions = {'torch': '2.13.0+cpu', 'numpy': '2.4.6', 'mmengine': '0.10.7'}
    versions |= {'mmcv-lite': '2.1.0', 'mmaction2': '1.2.0'}

    def version(name):
        if name not in versions:
            raise host_versions.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(host_versions, 'version', version)
    monkeypatch.setattr(host_versions.importlib.util, 'find_spec', lambda name: None)
    monkeypatch.delenv('MMSTADAPTER_ANY_VERSION', raising=False)
    return versions


def test_ranges_are_those_that_setup_declares():
    lines = [line.partition('#')[0] for line in REQUIREMENTS.read_text().splitlines()]
    declared = {r.name: r.specifier for r in map(Requirement, filter(str.strip, lines))}
    for module, (distributions, accepted) in host_versions.HOSTS.items():
        if module != 'mmcv':  # chosen in setup.py
            assert declared[distributions[0]] == Requirement(f'x{accepted}').specifier


def test_the_tried_versions_pass(installed):
    host_versions.check_versions()


def test_another_version_is_named_with_the_accepted_range(installed):
    installed['mmengine'] = '0.10.4'
    with pytest.raises(ImportError, match=r'mmengine 0\.10\.4 is installed, >=0\.10\.7,<0\.11'):
        host_versions.check_versions()


def test_a_missing_package_comes_with_the_command_that_installs_it(installed):
    del installed['mmcv-lite']
    with pytest.raises(ImportError, match=r"mmcv or mmcv-lite .* pip install 'mmcv-lite>=2\.1"):
        host_versions.check_versions()


def test_full_mmcv_is_as_good(installed):
    installed['mmcv'] = installed.pop('mmcv-lite')
    host_versions.check_versions()


def test_two_mmcv_of_different_versions_are_refused(installed):
    installed['mmcv'] = '2.1.1'
    with pytest.raises(ImportError, match='mmcv 2.1.1 and mmcv-lite 2.1.0 .* share the folder'):
        host_versions.check_versions()


def test_the_refusal_can_be_a_warning(installed, monkeypatch):
    installed['torch'] = '2.99.0'
    monkeypatch.setenv('MMSTADAPTER_ANY_VERSION', '1')
    with pytest.warns(UserWarning, match=r'torch 2\.99\.0'):
        host_versions.check_versions()
