"""A CSV file of videos and captions, read row by row; needs Python alone, as `finished` does."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIXES = ('.csv', '.tsv')
SIGNS = ',;\t'  # between columns: spreadsheets write the second where the first is in numbers
COLUMNS = ('video', 'caption')
SPLIT = 'split'
SHOWN = 10
EXAMPLE = 'Begin it with the line "video,caption" and give each caption a row: a.mp4,a dog jumps.'


class Row(NamedTuple):
    """A caption of a video, the split it is for ('' without that column), and its line."""

    line: int
    video: str
    caption: str
    split: str


def is_caption_list(path: str | Path) -> bool:
    """Whether a path means a list of captions, and no folder."""
    return Path(path).is_file() or Path(path).suffix.lower() in SUFFIXES


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a list, and the names of its columns that say nothing here.

    UTF-8 with or without a byte order mark; columns between commas, semicolons or tabs, which
    are named in the first line, in any order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another encoding or form, a row without video or caption, or one twice; names
            the lines.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'mmstadapter fit: no file {path}. Give a CSV with the columns video,caption.'
        )
    try:
        lines = list(_cells(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f'mmstadapter fit: {path} is no CSV in UTF-8: {error}. Correct it, or save it anew as '
            '"CSV UTF-8"; a caption with quotes in it stands in quotes, and doubles them.'
        ) from None
    columns = [cell.lower() for cell in lines[0][1]] if lines else []
    if any(columns.count(name) != 1 for name in COLUMNS) or columns.count(SPLIT) > 1:
        raise ValueError(
            f'mmstadapter fit: {path} needs one column video and one column caption, its first '
            f'line names {", ".join(columns) or "none"}. {EXAMPLE}'
        )
    torn = [line for line, cells in lines[1:] if len(cells) != len(columns)]
    _refuse(path, torn, f'have other than {len(columns)} columns', 'Put captions into quotes.')
    rows = [_row(line, dict(zip(columns, cells, strict=True))) for line, cells in lines[1:]]
    _check(path, rows)
    known = {*COLUMNS, SPLIT}
    return rows, [name for name in columns if name not in known]


def states(path: Path, root: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a list and of all files it names, whatever it is."""
    try:
        cells = {cell for _, cells in _cells(path) for cell in cells}
    except (OSError, UnicodeDecodeError, csv.Error):
        cells = set()
    files = [str(path), *sorted(os.path.join(root, cell) for cell in cells if cell)]
    found = [(name, os.lstat(name)) for name in files if os.path.isfile(name)]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in found]


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells without blanks around them) of each row that is not empty."""
    with path.open(encoding='utf-8-sig', newline='') as file:
        first = file.readline()
        file.seek(0)
        sign = next((sign for sign in SIGNS if sign in first), SIGNS[0])
        reader = csv.reader(file, delimiter=sign, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
        except csv.Error as error:
            raise csv.Error(f'line {reader.line_num}: {error}') from None


def _row(line: int, cells: dict[str, str]) -> Row:
    return Row(line, cells['video'], cells['caption'], cells.get(SPLIT, ''))


def _check(path: Path, rows: list[Row]) -> None:
    """Every row has video and caption, and no pair comes twice."""
    if not rows:
        raise ValueError(f'mmstadapter fit: {path} holds no captions. {EXAMPLE}')
    for name in COLUMNS:
        blank = [row.line for row in rows if not getattr(row, name)]
        _refuse(path, blank, f'have no {name}', 'Fill it in, or remove them.')
    pairs = Counter((os.path.normpath(row.video), row.caption) for row in rows)
    twice = [r.line for r in rows if pairs[os.path.normpath(r.video), r.caption] > 1]
    _refuse(path, twice, 'give a video the same caption more than once', 'Leave one of them.')


def _refuse(path: Path, lines: Iterable[int], what: str, way_out: str) -> None:
    if lines := list(lines):
        listed = ', '.join(map(str, lines[:SHOWN])) + (' ...' if len(lines) > SHOWN else '')
        raise ValueError(
            f'mmstadapter fit: {len(lines)} rows of {path} {what}: line {listed}. {way_out}'
        )
