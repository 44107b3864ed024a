"""A trained model as a folder that others can use: adapter file, config, card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..apis.adapter_model import read_model
from ..apis.finished import Fitted
from ..engine.tuned_checkpoint import write_adapter
from ..version import __version__
from ..weights import ADAPTER
from .card import card_of
from .figures import figures_of
from .folder import CARD, CONFIG, LIBRARY, placed
from .source import Source, is_public, name_files, source_of, written_with_trunk

STORED = (
    'format',
    'method',
    'trunk',
    'trunk_fingerprint',
    'preprocessing',
    'labels',
    'none_of_these',
    'config',
)


def save_pretrained(
    model: str | Path | Fitted | nn.Module,
    folder: str | Path,
    *,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    results: Mapping[str, Any] | str | Path | None = None,
    data: str | None = None,
    license: str | None = None,
    trunk: str | None = None,
    include_trunk: bool = False,
    checkpoint: str | Path | None = None,
    force: bool = False,
) -> Path:
    """Write a trained model as a folder to share: adapter file, config.json, README.md.

        mmstadapter.save_pretrained(mmstadapter.fit('mine'), 'to_share')
        model = mmstadapter.from_pretrained('to_share')

    Nothing in it is executable, and nothing in it names a folder of this machine. The model is
    read back before the folder gets its name: what is written loads.

    Args:
        model: an adapter file, its folder, what `fit` gave, or a model of `create_model` or
            `from_pretrained` in whatever state it was trained to.
        folder: where to.
        name: the card's, ``'OWNER/NAME'`` of the repository it will be.
        labels: names of the classes; those stored with the adapter if None.
        results: figures for the card: a JSON file that a test wrote, or a dict such as
            ``{'acc/top1': 0.812, 'videos': 400}``; those of the fit if None.
        data: what it was trained and tested on, in words, for the card.
        license: the adapter's, as the hub calls it (``'apache-2.0'``); to be filled in if None.
        trunk: what others read the pretrained weights from, if they were a file of this machine:
            a known name, ``'hf:OWNER/NAME'``, or the name of a file that they put beside it.
        include_trunk: write the pretrained weights into the adapter file, which then needs none.
        checkpoint: the trunk's pretrained file, for an adapter file whose trunk has moved.
        force: replace a shared model that the folder holds.

    Returns:
        The folder.

    Raises:
        FileExistsError: if the folder is not empty.
        TypeError, ValueError: a model that cannot be shared as it is, results that are none.
        FileNotFoundError, RuntimeError: see :func:`read_model`; another trunk than the model's.
    """
    folder = Path(folder).expanduser().absolute()
    with placed(folder, force) as part:
        source = source_of(model, checkpoint, labels, results)
        figures = figures_of(source.results) if source.results else []
        beside = _write_adapter(part / ADAPTER, source, trunk, include_trunk, checkpoint)
        read = read_model(part / ADAPTER, beside)
        _write_config(part / CONFIG, read.header)
        card = card_of(read, name or f'OWNER/{folder.name}', figures, source.results, data, license)
        (part / CARD).write_text(card, encoding='utf-8')
    return folder


def _write_adapter(
    path: Path,
    source: Source,
    trunk: str | None,
    include: bool,
    checkpoint: str | Path | None,
) -> str | Path | None:
    """Write it with files named for others; give what its trunk is read from to try it here."""
    config = source.config
    here = checkpoint or config.model.backbone.trunk.get('checkpoint')
    name_files(config, trunk, include)
    with written_with_trunk(source.model, include):
        write_adapter(path, source.model, config, whole=include, portable=True, **source.metadata)
    as_it_says = include or (trunk is not None and is_public(trunk))
    return None if as_it_says else here


def _write_config(path: Path, header: Mapping[str, Any]) -> None:
    """The metadata of the adapter file as JSON to read."""
    about = dict(library_name=LIBRARY, mmstadapter_version=__version__)
    about |= {key: header[key] for key in STORED if key in header}
    path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
