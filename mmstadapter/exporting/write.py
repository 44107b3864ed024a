"""Export a model: trace, write under another name, compare, and only then give it its name."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import onnx_file, pt2_file
from .metadata import metadata_of
from .sources import Source, source_of
from .towers import Tower, towers_of
from .tracing import Traced, others, trace

TOLERANCE = 1e-5
KINDS: dict[str, Any] = dict(onnx=onnx_file, pt2=pt2_file)
TOWERS = ('both', 'video', 'text')


class Exported(NamedTuple):
    """A file that was written.

    Args:
        path: the file; weights beyond 2 GiB lie in PATH.data beside it.
        metadata: what stands in it, texts of JSON.
        difference: the largest to the model, at other sizes than it was traced with; where what
            it gives is above 1, as a share of the largest.
        tried: these sizes.
    """

    path: Path
    metadata: dict[str, str]
    difference: float
    tried: list[tuple[int, ...]]


def export(
    model: str | Path | nn.Module,
    out: str | Path,
    *,
    to: str | None = None,
    checkpoint: str | Path | None = None,
    tower: str = 'both',
    int8: bool = False,
    force: bool = False,
    **options: Any,
) -> list[Exported]:
    """Write a model as ONNX or as PyTorch's archive, equal to it within 1e-5, or not at all.

    Of a recogniser the logits of clips; of a retriever its two towers, OUT with ``.video`` and
    ``.text`` before the ending. The batch is open, frames are where the method allows. All is
    float32, trunks that are stored in 16 bit too.

    Args:
        model: an adapter file, a shipped recipe or config, or what `create_model` built.
        out: the file to write.
        to: ``'onnx'`` or ``'pt2'``; the ending of ``out`` if None.
        checkpoint: of a config its weights; of an adapter file the trunk's, if it has moved.
        tower: of a retriever ``'both'``, or ``'video'`` or ``'text'`` alone, into ``out`` itself.
        int8: weights of linear maps in 8 bit, ONNX alone; the difference is then stated, and
            nothing is refused.
        force: replace files.
        options: of `create_model`, for recipes and configs.

    Returns:
        An entry for each file.

    Raises:
        FileExistsError: without ``force``.
        ValueError: for other words, an int8 archive, or files that would differ by more.
        ImportError: without what writes ONNX.
        TypeError, RuntimeError, FileNotFoundError: of the model, see :func:`create_model`.
    """
    out = Path(out)
    kind = out.suffix.removeprefix('.') if to is None else to
    _check_words(kind, tower, int8)
    names = {'both': ['video', 'text', ''], tower: [tower, '']}[tower]
    _check_places(out, [_place(out, name, tower) for name in names], force)
    source = source_of(model, checkpoint, **options)
    towers = towers_of(source.model, source.transform.num_frames, size_of(source))
    wanted = [t for t in towers if tower in ('both', t.name)]
    if not wanted:
        raise ValueError(f'export: tower={tower!r} is for retrievers; this is a classifier.')
    return [_export(source, t, _place(out, t.name, tower), kind, int8) for t in wanted]


def size_of(source: Source) -> tuple[int, int]:
    """Height and width of the frames: the pipeline's, or where it does not say, the trunk's."""
    given = source.transform.size
    return given if all(given) else source.model.backbone.trunk.img_size


def _place(out: Path, name: str, tower: str) -> Path:
    """The file of a tower: of both each has its name before the ending."""
    apart = tower == 'both' and name in ('video', 'text')
    return out.with_suffix(f'.{name}{out.suffix}') if apart else out


def _check_words(kind: str, tower: str, int8: bool) -> None:
    if kind not in KINDS:
        raise ValueError(f'export: to must be one of {", ".join(KINDS)}, got {kind!r}.')
    if tower not in TOWERS:
        raise ValueError(f'export: tower must be one of {", ".join(TOWERS)}, got {tower!r}.')
    if int8 and kind != 'onnx':
        raise ValueError("export: int8 is ONNX Runtime's quantisation; export to onnx with it.")
    if kind == 'onnx':
        onnx_file.require()


def _check_places(out: Path, places: list[Path], force: bool) -> None:
    there = [str(p) for p in places if p.exists() or _data_of(p).exists()]
    if there and not force:
        raise FileExistsError(
            f'export: {", ".join(there)} exists. Give another name, or force=True (--force).'
        )
    if not out.parent.is_dir():
        raise FileNotFoundError(f'export: there is no folder {out.parent} to write to.')


def _data_of(path: Path) -> Path:
    return path.with_name(f'{path.name}.data')


def _export(source: Source, tower: Tower, path: Path, kind: str, int8: bool) -> Exported:
    traced = trace(tower)
    facts: dict[str, Any] = dict(torch=torch.__version__)
    if kind == 'onnx':
        facts = dict(opset=onnx_file.OPSET)
    facts |= dict(weights='int8, dynamic quantisation of linear maps') if int8 else {}
    metadata = metadata_of(source, traced, **facts)
    with _named_at_last(path) as part:
        if int8:
            whole = part.parent / 'whole' / path.name
            whole.parent.mkdir()
            onnx_file.write(traced, whole, metadata)
            onnx_file.quantize(whole, part)
        else:
            KINDS[kind].write(traced, part, metadata)
        difference, tried = _compare(traced, part, kind)
        if not int8 and not difference <= TOLERANCE:  # nor if it is no number
            raise ValueError(
                f'export: {path.name} would differ from the model by {difference:.1e}, more than '
                f'{TOLERANCE:.0e}, so it is not written. Please report the model: {source.name}.'
            )
    return Exported(path, metadata, difference, tried)


@torch.no_grad()
def _compare(traced: Traced, path: Path, kind: str) -> tuple[float, list[tuple[int, ...]]]:
    """The largest difference of a file to its model, and the sizes at which they were compared."""
    given = others(traced)
    gaps = [
        _gap(ours.float(), theirs.float())
        for x in given
        for ours, theirs in zip(traced.tower.module(x), KINDS[kind].run(path, x), strict=True)
    ]
    return torch.stack(gaps).max().item(), [tuple(x.shape) for x in given]


def _gap(ours: Tensor, theirs: Tensor) -> Tensor:
    """The largest difference, where numbers are above 1 as a share of the largest."""
    return (ours - theirs).abs().max() / ours.abs().max().clamp(min=1)


@contextmanager
def _named_at_last(path: Path) -> Iterator[Path]:
    """A file of this name in a folder beside, which is moved here at the end, or is gone."""
    folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
    try:
        part = folder / path.name
        yield part
        _data_of(path).unlink(missing_ok=True)
        if _data_of(part).exists():
            os.replace(_data_of(part), _data_of(path))
        os.replace(part, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
