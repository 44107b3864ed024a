"""What a shared folder may hold, and how one comes to its place: whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..printing import shown
from ..weights import ADAPTER
from ..weights.containers import kind_of
from ..weights.saving import folder_written_whole

CONFIG, CARD, LIBRARY = 'config.json', 'README.md', 'mmstadapter'
# What a model needs, and what people add to a card; all of it is data.
DATA = {'.csv', '.gif', '.jpeg', '.jpg', '.json', '.md', '.mp4', '.png', '.txt', '.webp'}
PLAIN = {'.gitattributes', '.gitignore', 'LICENSE', 'LICENCE', 'NOTICE'}


def others(folder: Path) -> list[str]:
    """What lies in a folder and is neither data by its kind nor hidden bookkeeping of the hub.

    Code and pickles first of all, whatever they are called.
    """
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in ('.git', '.cache')]
        found += [path for name in files if not _is_data(path := Path(here, name))]
    return sorted(str(path.relative_to(folder)) for path in found)


def _is_data(path: Path) -> bool:
    if path.suffix == '.safetensors':
        return _kind(path) == 'safetensors'
    return path.name in PLAIN or (path.suffix.lower() in DATA and _kind(path) in ('', 'index'))


def _kind(path: Path) -> str:
    """The container of weights that a file is, by its content; '' if it is none."""
    try:
        return kind_of(path)
    except (OSError, ValueError):
        return ''


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a shared folder.

    Raises:
        FileNotFoundError: if the folder, its config or its adapter file is not there.
        ValueError: if it is none of ours.
    """
    absent = [name for name in (ADAPTER, CONFIG) if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f'{folder}: lacks {" and ".join(absent)}, so it holds no shared model, or half of one. '
            'mmstadapter.save_pretrained and `mmstadapter push --folder` write such folders.'
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{folder / CONFIG}: is no JSON: {error}.') from None
    if not isinstance(config, dict) or config.get('library_name') != LIBRARY:
        raise ValueError(
            f'{folder / CONFIG}: is not of a model of {LIBRARY} (it has no library_name of that '
            'value). Give the name of one that `mmstadapter push` wrote.'
        )
    return config


def require_room(folder: Path, force: bool) -> None:
    """Raise if something lies where a folder is to be written.

    Args:
        folder: the place.
        force: a shared model with nothing else beside it may be there, and is replaced.

    Raises:
        FileExistsError: if it is in the way.
    """
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not force:
        raise FileExistsError(
            f'{folder} is there and not empty. Choose another folder, or give force=True (--force) '
            'to replace the model that it holds, its card included.'
        )
    try:
        read_config(folder)
        strangers = others(folder)
    except (OSError, ValueError) as error:
        raise FileExistsError(f'{folder} is not replaced: {error}') from None
    if strangers or folder.is_symlink():
        raise FileExistsError(
            f'{folder} is not replaced, since it holds more than a shared model: '
            f'{shown(", ".join(strangers[:5]) or "it is a link")}. Choose another folder.'
        )


@contextmanager
def placed(folder: Path, force: bool) -> Iterator[Path]:
    """``with placed(folder, False) as part``: fill ``part``, which becomes ``folder`` at the end.

    If the filling fails or the process is killed, ``folder`` is as it was before. Of a killed
    process a hidden ``.<name>.<32 digits>.part`` may stay beside it.

    Raises:
        FileExistsError: see :func:`require_room`; if another process has written the folder
            meanwhile.
    """
    require_room(folder, force)
    with folder_written_whole(folder, partial(_exchange, force=force)) as part:
        yield part


def _exchange(part: Path, folder: Path, force: bool) -> None:
    require_room(folder, force)
    aside = part.with_suffix('.old')
    if force and folder.is_dir() and any(folder.iterdir()):
        folder.rename(aside)
    try:
        part.rename(folder)  # the system refuses to where a folder has something in it
    except OSError as error:
        raise FileExistsError(
            f'{folder}: another process has written it meanwhile; what it wrote was kept.'
        ) from error
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        elif aside.exists():
            aside.rename(folder)
