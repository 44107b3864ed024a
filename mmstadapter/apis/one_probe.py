"""One probe of a trained grid, as a model of its own: its config and its weights."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmaction.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from ..analysis.curves import read_run
from ..evaluation import ProbesMetric
from ..models.heads import ProbesHead
from ..runs.reading import read_checkpoint

PROBES, HEADS = 'backbone.probes.', 'cls_head.heads.'
GRID = ('lrs', 'weight_decays')  # options of the head that one probe has no use for


class OneProbe(NamedTuple):
    """A probe's name in the grid, the config of a model of it alone, and its weights."""

    name: str
    config: Config
    weights: dict[str, Tensor]


def take_probe(config: Config, checkpoint: str | Path, which: str) -> OneProbe:
    """Take one probe out of a checkpoint of several.

    Args:
        config: of the grid, with `ProbeViT` and `ProbesHead`.
        checkpoint: what its training wrote.
        which: its name, ``'lr0.001_wd0.1'``; its number in the grid, from 0; or ``'best'``, the
            best of the validation at the checkpoint's epoch, which its work dir has a log of.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: for a config of no grid, a probe that is not there, or ``'best'`` where no
            validation is logged.
    """
    head = _head_of(config)
    content = read_checkpoint(str(checkpoint), 'cpu')
    names = list(head.rates)
    name = _best(config, content, Path(checkpoint), names) if which == 'best' else which
    if name not in names:
        if not (name.isdecimal() and int(name) < len(names)):
            raise ValueError(
                f'no probe {which!r}: needed is a number from 0 to {len(names) - 1}, '
                f"'best', or one of {', '.join(names)}."
            )
        name = names[int(name)]
    state = content['state_dict']
    there = {key.split('.')[2] for key in state if key.startswith(PROBES)}
    if len(there) != len(names):
        raise ValueError(
            f'{checkpoint} holds {len(there)} probes and the config {len(names)}: give the config '
            'it was trained with.'
        )
    return OneProbe(name, _config(config, *head.rates[name]), _weights(state, names.index(name)))


def _head_of(config: Config) -> ProbesHead:
    """The grid's head, empty."""
    init_default_scope(config.get('default_scope', 'mmaction'))
    given = config.model.get('cls_head') or {}
    if not given or MODELS.get(given['type']) is not ProbesHead:
        kind = given.get('type', 'none')
        raise ValueError(
            f'this config trains no grid of probes: its cls_head must be ProbesHead, got {kind}. '
            'Publish it without --probe.'
        )
    with torch.device('meta'):
        return MODELS.build(given)


def _best(config: Config, content: dict, checkpoint: Path, names: list[str]) -> str:
    """The probe that was best in the validation at the checkpoint's epoch."""
    epoch = (content.get('meta') or {}).get('epoch')
    keys = [m.get('key', 'acc/top1') for m in _metrics(config.get('val_evaluator'))]
    try:
        logged = read_run(checkpoint.parent)
    except FileNotFoundError:
        logged = {}
    there = {
        name: dict(logged.get(f'{name}/{key}', ())).get(epoch) for key in keys[:1] for name in names
    }
    if not there or None in there.values():
        raise ValueError(
            f"'best' is the best probe of the validation at the checkpoint's epoch ({epoch}), and "
            f'there is none of it in {checkpoint.parent}/*/vis_data/scalars.json. Name one of '
            f'{", ".join(names)}; `mmstadapter test` says which is best.'
        )
    return max(names, key=lambda name: there[name])  # of equal ones the first, as `ProbesMetric`


def _metrics(evaluator: Any) -> list[dict]:
    """The settings of `ProbesMetric` among those of an evaluator."""
    given = evaluator if isinstance(evaluator, list | tuple) else [evaluator or {}]
    return [m for m in given if 'type' in m and METRICS.get(m['type']) is ProbesMetric]


def _config(config: Config, lr: float, decay: float) -> Config:
    """The config of a model of one probe, trained at these rates."""
    new = copy.deepcopy(config)
    new.model.backbone.num_probes = 1
    options = {k: v for k, v in config.model.cls_head.items() if k not in GRID}
    plain = dict(dropout_ratio=0.0, init_std=None)
    new.model.cls_head = plain | options | dict(type='mmstadapter.VideoHead')
    for metric in (m for e in ('val', 'test') for m in _metrics(new.get(f'{e}_evaluator'))):
        metric.pop('key', None)
        metric['type'] = 'mmstadapter.VideoAccMetric'
    if wrapper := new.get('optim_wrapper'):
        wrapper.constructor = 'mmstadapter.TunedOptimWrapperConstructor'
        wrapper.optimizer.update(lr=lr, weight_decay=decay)
    return new


def _weights(state: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    """One probe's tensors by the names they have alone, and whatever is no probe's."""
    own = {f'{PROBES}{index}.': f'{PROBES}0.', f'{HEADS}{index}.': 'cls_head.'}
    found = {}
    for name, tensor in state.items():
        start = next((start for start in own if name.startswith(start)), None)
        if start is not None:
            found[own[start] + name.removeprefix(start)] = tensor
        elif not name.startswith((PROBES, HEADS)):
            found[name] = tensor
    return found
