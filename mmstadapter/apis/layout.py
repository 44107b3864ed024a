"""Where the class folders are: in the folder itself, or in its splits train, val and test."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from unicodedata import normalize

from ..datasets.files import HIDDEN, files_below, is_video
from ..printing import shown

LAYOUTS = ('auto', 'classes')
SPLITS = dict(
    train='train|training|trn', val='val|valid|validation|dev', test='test|testing|tst|eval'
)
# Also videos_train, test-set, "val split".
_ROLES = {
    part: re.compile(rf'(?i)(videos?[ _-]*)?({names})([ _-]*(set|split|data|videos?))?')
    for part, names in SPLITS.items()
}
WAY_OUT = (
    'Sort them as <class>/ or as train/<class>/, val/<class>/, test/<class>/. If the folders '
    'directly in it are the classes whatever they hold and are called, say --layout classes.'
)


def find_parts(root: Path, layout: str = 'auto') -> dict[str, Path]:
    """The folders whose folders are the classes: of '', or of 'train' and 'val' or 'test'.

    Args:
        root: the folder.
        layout: ``'auto'``, or ``'classes'`` for class folders that look like something else.

    Raises:
        ValueError: if the folders can be read in two ways, or nothing is there to train on.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'VideoFolder: layout must be one of {LAYOUTS}, got {layout!r}.')
    splits = {name: part for name in folders_in(root) if (part := part_of(name))}
    if layout == 'classes' or not splits:
        parts = {'': root}
    else:
        _refuse_others_beside(root, splits)
        _refuse_incomplete(root, splits)
        parts = {part: root / name for name, part in splits.items()}
        parts = {part: parts[part] for part in SPLITS if part in parts}
    if layout == 'auto':
        for folder in parts.values():
            _refuse_same_folders_in(folder)
    return parts


def folders_in(folder: Path) -> list[str]:
    """Names of the visible folders in a folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(HIDDEN))


def class_folders(parts: Mapping[str, Path]) -> dict[str, list[str]]:
    """The class folders of each part in the order of the labels, '' where it lacks one.

    A name from a Mac (NFD) and the same from elsewhere (NFC) are one class.

    Raises:
        ValueError: if two folders of a part have the same name but for that, or a part has a
            class that the first lacks.
    """
    first, folder = next(iter(parts.items()))
    labels = list(_by_text(folder))
    found = {}
    for part, folder in parts.items():
        names = _by_text(folder)
        surplus = [shown(name) for text, name in names.items() if text not in labels]
        if surplus:
            raise ValueError(
                f'VideoFolder: {folder} has classes that {parts[first]} lacks: '
                f'{", ".join(surplus)}. Give both the same class folders.'
            )
        found[part] = [names.get(text, '') for text in labels]
    return found


def _by_text(folder: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for name in folders_in(folder):
        if (other := names.setdefault(normalize('NFC', name), name)) != name:
            raise ValueError(
                f'VideoFolder: {folder} has two folders called {name}, written with other '
                f'characters: {ascii(other)} and {ascii(name)}. Move all into one.'
            )
    return names


def part_of(name: str) -> str:
    """The part of a split that a name means, '' if it means none."""
    return next((part for part, names in _ROLES.items() if names.fullmatch(name)), '')


def _listed(names) -> str:
    names = [shown(name) for name in names]
    return ', '.join(names[:6]) + (' ...' if len(names) > 6 else '')


def _has_videos(folder: Path) -> bool:
    return any(map(is_video, files_below(folder)))


def _refuse_others_beside(root: Path, splits: Mapping[str, str]) -> None:
    others = [n for n in folders_in(root) if n not in splits and _has_videos(root / n)]
    flat = [n for n in splits if not folders_in(root / n) and _has_videos(root / n)]
    if others:
        raise ValueError(
            f'VideoFolder: in {root}, {_listed(splits)} are named as parts of a split and stand '
            f'beside other folders of videos: {_listed(others)}. {WAY_OUT}'
        )
    if flat:
        raise ValueError(
            f'VideoFolder: {_listed(flat)} of {root} are named as parts of a split and hold '
            f'videos instead of class folders. {WAY_OUT}'
        )


def _refuse_incomplete(root: Path, splits: Mapping[str, str]) -> None:
    twice = [part for part, count in Counter(splits.values()).items() if count > 1]
    if twice:
        both = [name for name, part in splits.items() if part in twice]
        raise ValueError(
            f'VideoFolder: {root} has {_listed(both)}, which mean the same. Leave one of them.'
        )
    if 'train' not in splits.values():
        raise ValueError(
            f'VideoFolder: {root} has {_listed(splits)} and no folder train to learn from. '
            f'{WAY_OUT}'
        )
    if len(splits) < 2:
        (train,) = splits
        raise ValueError(
            f'VideoFolder: {root} has {train} and neither val nor test. Give {root / train} itself '
            f'to hold a share of it out, or add a folder val. {WAY_OUT}'
        )


def _refuse_same_folders_in(folder: Path) -> None:
    """walk/train, walk/test, run/train ... or anna/walk, anna/run, ben/walk ...: which is it?"""
    names = folders_in(folder)
    inner = {name: folders_in(folder / name) for name in names}
    split = [f'{name}/{sub}' for name in names for sub in inner[name] if part_of(sub)]
    if split:
        raise ValueError(
            f'VideoFolder: class folders of {folder} hold folders named as parts of a split, '
            f'which would be mixed: {_listed(split)}. {WAY_OUT}'
        )
    shared = [sub for sub, n in Counter(sum(inner.values(), [])).items() if n > 1]
    flat = (path for name in names for path in (folder / name).iterdir())
    if len(shared) > 1 and all(inner.values()) and not any(map(is_video, flat)):
        raise ValueError(
            f'VideoFolder: the folders of {folder} hold folders of the same names: '
            f'{_listed(shared)}. Are {_listed(names)} the classes, or these? {WAY_OUT}'
        )
