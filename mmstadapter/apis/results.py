"""What a test shows: accuracy, who is taken for whom, and the worst mistakes."""

import json
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import pages
from ..pages import picture
from .own_videos import Video

WIDE_FONTS = {  # have signs that DejaVu lacks, Chinese and Japanese ones first of all
    'Arial Unicode MS', 'Hiragino Sans', 'Microsoft YaHei', 'Noto Sans CJK JP', 'Noto Sans CJK SC',
    'PingFang SC', 'SimHei', 'WenQuanYi Zen Hei',
}  # fmt: skip


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N, C) scores and (N,) labels -> (C, C) counts, rows the true classes."""
    matrix = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(matrix, (labels, scores.argmax(1)), 1)
    return matrix


def interval(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, in per cent; the whole range where there is nothing."""
    if not total:
        return 0.0, 100.0
    z = 1.96
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / total / 4)
    return round(100 * max(0.0, middle - half), 2), round(100 * min(1.0, middle + half), 2)


def share_of_largest(labels: Sequence[int]) -> float:
    """Accuracy, in per cent, of whoever always says the class that is tested most."""
    return 100 * max(Counter(labels).values(), default=0) / max(len(labels), 1)


def summary(matrix: np.ndarray, labels: list[str], bad: int = 0) -> dict[str, Any]:
    """Accuracies in per cent and the matrix, as written to confusion.json.

    Args:
        matrix: (C, C) counts, rows the true classes.
        labels: names of the classes.
        bad: videos that could not be decoded in the test; none of them counts as right.
    """
    total, right = matrix.sum(1), matrix.diagonal()
    per_class = {
        name: round(100 * int(r) / int(t), 2) if t else None
        for name, r, t in zip(labels, right, total, strict=True)
    }
    videos = int(total.sum()) + bad
    return dict(
        videos=videos,
        top1=round(100 * int(right.sum()) / max(videos, 1), 2),
        top1_interval=interval(int(right.sum()), videos),
        chance=round(100 * int(total.max()) / max(videos, 1), 2),
        undecodable=bad,
        per_class=per_class,
        labels=labels,
        rows='true class',
        columns='predicted class',
        counts=matrix.tolist(),
    )


def mistakes(videos: list[Video], scores: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    """The wrongly predicted videos, the most certain mistakes first.

    Args:
        videos: the N tested videos.
        scores: (N, C), theirs.
        names: of the C classes.
    """
    found = []
    for video, row in zip(videos, scores, strict=True):
        best = int(row.argmax())
        if best != video.label:
            found.append(
                dict(
                    video=video.path,
                    label=names[video.label],
                    label_score=round(float(row[video.label]), 4),
                    predicted=names[best],
                    predicted_score=round(float(row[best]), 4),
                )
            )
    return sorted(found, key=lambda entry: -entry['predicted_score'])


def font_families() -> list[str]:
    """The fonts of this machine for names in any language, in order."""
    from matplotlib.font_manager import fontManager

    return ['DejaVu Sans', *sorted({font.name for font in fontManager.ttflist} & WIDE_FONTS)]


def draw_confusion(matrix: np.ndarray, labels: list[str], path: Path) -> None:
    """A picture of the matrix, shares of each true class as shades, counts as numbers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(labels)
    side = min(24.0, max(4.0, 0.35 * count + 2.5))
    figure = Figure(figsize=(side, side), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap='Blues', vmin=0, vmax=1)
    size = 8 if count <= 40 else 4
    # A dollar would begin a formula, and labels are any folder's name.
    ticks = [name.replace('$', r'\$') for name in labels]
    fonts = font_families()
    axes.set_xticks(range(count), ticks, rotation=90, fontsize=size, fontfamily=fonts)
    axes.set_yticks(range(count), ticks, fontsize=size, fontfamily=fonts)
    axes.set(xlabel='predicted', ylabel='true')
    if count <= 40:
        for i, j in zip(*matrix.nonzero(), strict=True):
            colour = 'white' if share[i, j] > 0.5 else 'black'
            axes.text(j, i, matrix[i, j], ha='center', va='center', color=colour, fontsize=size)
    with warnings.catch_warnings():  # boxes where no font has a sign; confusion.json has it
        warnings.filterwarnings('ignore', 'Glyph .* missing')
        figure.savefig(path, dpi=110)


def write_page(found: list[dict[str, Any]], root: Path, path: Path, limit: int = 50) -> None:
    """One self-contained page: a strip of frames and the scores of each mistake."""
    heading = '1 mistake' if len(found) == 1 else f'{len(found)} mistakes'
    heading += f', the first {limit}' if len(found) > limit else ''
    note = 'The most certain first; confusion.png shows them all.'
    files = [(entry, root / entry['video']) for entry in found[:limit]]
    figures = (dict(entry, file=file, **picture(file)) for entry, file in files)
    pages.write_page(path, 'mistakes.html', figures, title='Mistakes', heading=heading, note=note)


def write_results(
    videos: list[Video], scores: np.ndarray, names: list[str], root: Path, folder: Path, bad=()
) -> dict[str, Any]:
    """Write confusion.{json,png} and mistakes.{json,html}; give the summary.

    Args:
        videos: the N tested videos, in the order of the scores.
        scores: (N, C).
        names: of the C classes.
        root: folder of the videos.
        folder: where to write.
        bad: indices of videos that could not be decoded in the test.
    """
    kept = [i for i in range(len(videos)) if i not in set(bad)]
    tested, scores = [videos[i] for i in kept], scores[kept]
    matrix = confusion_matrix(scores, np.array([video.label for video in tested], np.int64))
    result, found = summary(matrix, names, len(videos) - len(kept)), mistakes(tested, scores, names)
    write_json(result, folder / 'confusion.json')
    write_json(found, folder / 'mistakes.json')
    draw_confusion(matrix, names, folder / 'confusion.png')
    write_page(found, root, folder / 'mistakes.html')
    return result


def write_json(value: Any, path: Path) -> None:
    """A value as a file of JSON to be read by people too."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + '\n'
    path.write_text(text, encoding='utf-8', errors='backslashreplace')  # which JSON reads back
