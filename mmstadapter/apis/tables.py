"""Results as files: CSV, JSON Lines, JSON; whole or not at all."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file in one step, folders included: whoever reads it finds all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    data = content if isinstance(content, bytes) else content.encode('utf-8', 'backslashreplace')
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table with a line of names, fields quoted where they need it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue()


def json_lines(entries: Iterable[dict[str, Any]]) -> str:
    """An entry a line."""
    return ''.join(json.dumps(entry, ensure_ascii=False) + '\n' for entry in entries)


def write_predictions(found: list[dict[str, Any]], path: Path, kind: str = '') -> None:
    """What :class:`Predictor` gave, by the suffix of the path, or as ``kind`` says."""
    kind = kind or path.suffix
    if kind == '.csv':
        text = csv_text(*_columns(found))
    elif kind == '.jsonl':
        text = json_lines(found)
    else:
        text = json.dumps(found, indent=1) + '\n'
    write_whole(path, text)


def _columns(found: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """video, label, score, label_2, score_2 ..., note, error: names, and a row a video."""
    most = max((len(entry['labels']) for entry in found), default=0)
    names = ['video', 'label', 'score', 'best']
    names += [f'{what}_{n}' for n in range(2, most + 1) for what in ('best', 'score')]
    rows = []
    for entry in found:
        ranked = list(zip(entry['labels'], entry['scores'], strict=True))
        ranked += [('', '')] * (max(most, 1) - len(ranked))
        rest = [cell for pair in ranked[1:] for cell in pair]
        end = [entry.get('note', ''), entry.get('error', '')]
        best, score = ranked[0]
        rows.append([entry['video'], entry['label'] or '', score, best, *rest, *end])
    return [*names, 'note', 'error'], rows
