"""Which versions of the host packages this release was tried with."""

import importlib.util
import os
import warnings
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

# module -> (distributions that bring it, tried versions); setup.py declares the same ranges
HOSTS = {
    'torch': (('torch',), '>=2.11,<2.16'),
    'numpy': (('numpy',), '>=2,<3'),
    'mmengine': (('mmengine',), '>=0.10.7,<0.11'),
    'mmcv': (('mmcv', 'mmcv-lite'), '>=2.1.0,<2.2.0'),
    'mmaction': (('mmaction2',), '==1.2.0'),
}


def installed(distributions: tuple[str, ...]) -> dict[str, str]:
    """The versions of those among ``distributions`` that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def complaints() -> list[str]:
    """One sentence for every host package that is missing or outside its tried range."""
    sentences = []
    for module, (distributions, accepted) in HOSTS.items():
        remedy = f"pip install '{distributions[-1]}{accepted}'"
        found = installed(distributions)
        if not found and importlib.util.find_spec(module) is None:
            wanted = ' or '.join(distributions)
            sentences.append(f'{wanted} {accepted} is needed and not installed; {remedy}.')
        if len(set(found.values())) > 1:
            both = ' and '.join(f'{name} {number}' for name, number in found.items())
            sentences.append(
                f'{both} are both installed and share the folder {module}/; uninstall both, then '
                'install one.'
            )
        for name, number in found.items():
            if not SpecifierSet(accepted).contains(number, prereleases=True):
                sentences.append(f'{name} {number} is installed, {accepted} is needed; {remedy}.')
    return sentences


def check_versions() -> None:
    """Refuse host packages that this release was not tried with.

    A package found on the path without its metadata (a source checkout) is taken as it is.
    ``MMSTADAPTER_ANY_VERSION=1`` in the environment turns the refusal into a warning.

    Raises:
        ImportError: with the package, the version found and the versions accepted.
    """
    sentences = complaints()
    if not sentences:
        return
    message = 'mmstadapter: ' + ' '.join(sentences)
    if os.environ.get('MMSTADAPTER_ANY_VERSION') != '1':
        raise ImportError(message + ' MMSTADAPTER_ANY_VERSION=1 tries these versions anyway.')
    warnings.warn(message, stacklevel=3)
