"""Where the configs and tools that come with the package lie, installed or in a clone."""

import difflib
from pathlib import Path

PREFIX = 'mmstadapter::'


def root() -> Path:
    """The folder that holds ``configs/`` and ``tools/``.

    ``mmstadapter/.mim`` in an installed package (the place where mim looks), the clone itself
    when the package is used from one, whether by ``pip install -e`` or by ``PYTHONPATH``.

    Raises:
        FileNotFoundError: if neither holds configs.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / '.mim', package.parent):
        if (folder / 'configs').is_dir() and (folder / 'tools').is_dir():
            return folder
    raise FileNotFoundError(
        f'mmstadapter: no configs and tools beside {package}: the installation is incomplete. '
        'Install it again with `pip install --force-reinstall --no-deps .` from a clone.'
    )


def configs() -> list[str]:
    """Names of the shipped configs that can be trained, without the shared pieces in _base_."""
    return sorted(path.name for path in (root() / 'configs').glob('*.py'))


def closest(name: str, known: list[str]) -> str:
    """The known names most like ``name``, as the end of a sentence."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f'Did you mean {" or ".join(near)}?' if near else f'Known: {", ".join(known)}.'


def config(name: str) -> Path:
    """Path of a shipped config by its name below ``configs/``, as in ``mmstadapter::NAME``.

    The name may lack ``.py``.

    Raises:
        FileNotFoundError: with the closest names, if there is no such config.
    """
    folder = root() / 'configs'
    bare = name.removeprefix(PREFIX).removeprefix('configs/')
    for path in (folder / bare, folder / f'{bare}.py'):
        if path.is_file():
            return path
    known = sorted(str(p.relative_to(folder)) for p in folder.rglob('*.py'))
    raise FileNotFoundError(
        f'mmstadapter: no config {name!r} in {folder}. {closest(name, known)} '
        '`mmstadapter configs` lists them.'
    )


def find_config(name: str) -> str:
    """A config by path or by shipped name, as the command line takes it.

    Raises:
        FileNotFoundError: if it is neither.
    """
    return name if Path(name).is_file() else str(config(name))
