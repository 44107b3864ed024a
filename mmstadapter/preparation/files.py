"""What the preparations share: reading public files, finding videos, writing lists.

Whatever is wrong with a file ends the command with one line that names it.
"""

import csv
import io
import json
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path

IMAGES = {'.jpeg', '.jpg', '.png', '.webp'}
SUFFIXES = set(  # the same as `mmstadapter fit` and `index` take
    '.264 .265 .3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ivf .m1v .m2t '
    '.m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf '
    '.nut .ogm .ogv .qt .rm .rmvb .tod .tp .trp .ts .vob .vro .webm .wmv .wtv .y4m'.split()
)
SHOWN = 5
# Dictionaries and what they are made with. Anything else a pickle names could be a command.
PLAIN = {
    ('collections', 'OrderedDict'),
    ('collections', 'defaultdict'),
    ('builtins', 'list'),
    ('__builtin__', 'list'),
}


def need(path: Path, what: str) -> Path:
    """The path, or an end that says what should be there.

    Raises:
        SystemExit: if it does not exist.
    """
    if not path.exists():
        raise SystemExit(f'{path} is missing: {what}')
    return path


def need_one(folder: Path, names: Iterable[str], what: str) -> Path:
    """The first of several possible files of a folder, or an end that names them all."""
    names = list(names)
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise SystemExit(f'{folder}/{{{",".join(names)}}}: none of these is there: {what}')


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark.

    Raises:
        SystemExit: if it is in another encoding.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise SystemExit(f'{path} is no text in UTF-8: {error}') from None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without the blanks around them."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_json(path: Path):
    """The content of a json file.

    Raises:
        SystemExit: if it is damaged, or names something twice.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=each_once)
    except ValueError as error:
        raise SystemExit(f'{path} is no json file: {error}') from None


def each_once(pairs: Iterable[tuple]) -> dict:
    """A dictionary of pairs.

    Raises:
        ValueError: if a key occurs more than once: the last would silently win.
    """
    found: dict = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'{key!r} occurs more than once')
        found[key] = value
    return found


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a csv file with a header, each with as many fields as the header.

    Raises:
        SystemExit: if it has no rows, lacks a column, or a row has more or fewer fields.
    """
    table = csv.DictReader(io.StringIO(read_text(path)))
    try:
        rows = list(table)
    except csv.Error as error:
        raise SystemExit(f'{path}, line {table.line_num}: {error}') from None
    lacking = [name for name in columns if name not in (table.fieldnames or ())]
    if lacking or not rows:
        lacks = f'the columns {", ".join(lacking)}' if lacking else 'rows'
        raise SystemExit(f'{path} lacks {lacks}; it needs the columns {", ".join(columns)}.')
    for number, row in enumerate(rows, 1):
        if any(row.pop(None, ())) or None in row.values():  # too many, or too few
            raise SystemExit(
                f'{path}, row {number} has more or fewer fields than the header: '
                f'{list(row.values())}. Texts with commas need quotation marks.'
            )
    return rows


class PlainUnpickler(pickle.Unpickler):
    """Loads texts, numbers, lists and dictionaries, and refuses everything that could act."""

    def find_class(self, module: str, name: str):
        """The few classes of plain data."""
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f'it names {module}.{name}')
        return super().find_class({'__builtin__': 'builtins'}.get(module, module), name)


def read_pickle(path: Path):
    """The plain data of a pickle file; one that holds anything else is not loaded.

    Raises:
        SystemExit: in that case, or if it is damaged.
    """
    try:
        with path.open('rb') as file:
            return PlainUnpickler(file, encoding='utf-8').load()
    except Exception as error:  # a damaged pickle may raise anything
        raise SystemExit(
            f'{path} is no pickle of plain lists and texts and was not loaded: {error}. '
            'Fetch the public file again.'
        ) from None


@contextmanager
def form(path: Path, wanted: str) -> Iterator[None]:
    """Around code that takes an annotation file apart.

    Raises:
        SystemExit: if the file has another form, with the one wanted.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise SystemExit(f'{path} has another form than {wanted}: {error!r}') from None


def videos_of(root: Path) -> list[str]:
    """Paths of the videos below a folder, relative to it, with forward slashes, sorted.

    Hidden files, such as the ``._a.mp4`` that macOS puts beside ``a.mp4``, are none.
    """
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith('.'):
                found.append(Path(folder, name).relative_to(root).as_posix())
    return sorted(found)


def images_of(folder: Path) -> list[str]:
    """Names of a folder's images, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in os.scandir(folder))
    return sorted(
        name
        for name in names
        if os.path.splitext(name)[1].lower() in IMAGES and not name.startswith('.')
    )


def write(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, whole or not at all.

    Raises:
        SystemExit: for a line that is not text, such as a file name in another encoding.
    """
    part = path.with_name(path.name + '.part')
    try:
        part.write_bytes(''.join(f'{line}\n' for line in lines).encode())
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 40) : error.end + 40]
        raise SystemExit(f'{path} was not written: {around!r} is no text in UTF-8.') from None
    os.replace(part, path)


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ', '.join(names[:SHOWN]) + (' ...' if len(names) > SHOWN else '')


def check_found(
    root: Path, lists: Mapping[str, Sized], missing: Mapping[str, list[str]], allow: bool
) -> None:
    """Write and tell what is missing from each list.

    Args:
        root: where the names of the missing are written, ``<list>_missing.txt``.
        lists: what was found of each list.
        missing: names of what was not.
        allow: whether lists may lack something.

    Raises:
        SystemExit: if a list would be empty, or lacks something that it may not.
    """
    for file, names in missing.items():
        note = root / f'{Path(file).stem}_missing.txt'
        note.unlink(missing_ok=True)
        if names:
            write(note, names)
            print(f'  missing from {file}: {some(names)}; all in {note}')
    empty = [file for file, found in lists.items() if not found]
    if empty:
        raise SystemExit(f'None of the videos of {some(empty)} is there; nothing written.')
    if any(missing.values()) and not allow:
        raise SystemExit('Videos are missing; nothing written. --allow-missing goes without them.')
