"""A shared model by its name or folder."""

import logging
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from ..apis.adapter_model import read_model
from ..apis.as_module import as_module
from ..apis.classifier import VideoClassifier
from ..apis.device import choose_device
from ..engine.tuned_checkpoint import read_adapter
from ..models.retrieval import Retriever
from ..printing import shown
from ..weights import ADAPTER, PREFIX, adapter_file
from .folder import CONFIG, others, read_config
from .saving import STORED


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = 'cpu',
) -> VideoClassifier | Retriever:
    """The model of a repository at the hub, or of a folder, in evaluation mode.

        model = mmstadapter.from_pretrained('hf:OWNER/NAME')
        scores = model(model.transform('a.mp4')).softmax(-1).mean(0)

    It is what :func:`create_model` gives, with ``labels`` where they are stored. Two files are
    fetched, adapter.safetensors and config.json, by huggingface_hub: its cache, its tokens, its
    HF_HUB_OFFLINE. Both are data; whatever else lies there is never read.

    Args:
        name: ``'hf:OWNER/NAME'``, or a folder that :func:`save_pretrained` wrote.
        revision: branch, tag or commit of a repository.
        checkpoint: the trunk's pretrained file or known name, if it is not where the model says.
        device: where to; the first GPU, else the CPU, if None.

    Raises:
        FileNotFoundError: no such folder, or one that lacks a file.
        ValueError: a name of another form; files that are damaged or do not belong together.
        RuntimeError: what cannot be fetched; another trunk than the model was trained on.
    """
    folder = _folder_of(str(name), revision)
    place, about = choose_device(device), read_config(folder)
    for other in others(folder):
        print_log(f'{folder}: {shown(other)} is not read', 'current', logging.WARNING)
    _, header = read_adapter(folder / ADAPTER)
    apart = [key for key in STORED if header.get(key) != about.get(key)]
    if apart:
        raise ValueError(
            f'{folder}: {CONFIG} and {ADAPTER} do not belong together, they differ in '
            f'{", ".join(apart)}. The config is written with the adapter file and cannot be edited '
            'alone; save the model again.'
        )
    model, _, _, header = read_model(folder / ADAPTER, checkpoint)
    return as_module(model, Config(header['config']), labels=header.get('labels')).to(place)


def _folder_of(name: str, revision: str | None) -> Path:
    if name.startswith(PREFIX):
        if revision is not None and '@' in name:
            raise ValueError(f'from_pretrained: {name} names a revision, and so does {revision}.')
        return adapter_file(name, revision).parent
    folder = Path(name).expanduser()
    if revision is not None:
        raise ValueError(f'from_pretrained: {name} is a folder and has no revision {revision}.')
    if not folder.is_dir():
        raise FileNotFoundError(
            f'from_pretrained: no folder {name}. A repository of Hugging Face is named '
            f'{PREFIX}OWNER/NAME.'
        )
    return folder
