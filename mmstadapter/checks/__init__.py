"""What is looked at before a run starts: settings nobody reads, or that cannot be meant."""

import copy
import logging
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from ..config_fields import choose_split, has_our_parts, spread_fields
from .fields import Names, idle_names, other_values, unread_fields
from .fitting_parts import unfitting_parts
from .hooks import complete_hooks
from .keys import unread_keys
from .schedule import batch_note, fit_warmups
from .validation import lacking_metrics
from .values import impossible_values

__all__ = ['ConfigError', 'check_built', 'has_our_parts', 'prepare']


class ConfigError(ValueError):
    """A config with settings that nothing reads, or that cannot be meant."""

    is_said_whole = True  # a command ends with it as with a sentence of its own


def prepare(cfg: Any) -> tuple[Any, list[str]]:
    """A checked copy of a config, completed, and sentences for the log.

    Fields such as ``clip_len``, ``split`` and ``pixels`` reach all their places (`config_fields`),
    our hooks are added (`complete_hooks`) and that of the field ``memory``, warm-ups shortened
    (`fit_warmups`), workers kept between epochs and clips pinned where the config does not say.

    Raises:
        ConfigError: with all that is wrong.
    """
    cfg = copy.deepcopy(cfg if isinstance(cfg, Config) else Config(dict(cfg)))
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    spread_fields(cfg)
    choose_split(cfg)
    names = Names.of(cfg)
    wrong = [*unread_fields(names), *unread_keys(cfg), *impossible_values(cfg)]
    wrong += lacking_metrics(cfg)
    warmups = [] if wrong else list(fit_warmups(cfg, names))
    wrong += [sentence for mistake, sentence in warmups if mistake]
    if wrong:
        _refuse(cfg, wrong)
    notes = [sentence for _, sentence in warmups]
    notes += [f'default_hooks.{name} is turned off.' for name in complete_hooks(cfg)]
    keep_workers(cfg)
    pin_clips(cfg)
    if cfg.get('memory') is not None:
        cfg.default_hooks.setdefault('memory', dict(type='mmstadapter.MemoryHook'))
    return cfg, [*notes, *filter(None, [idle_names(names)]), *other_values(names)]


def check_built(model: nn.Module, cfg: Config, notes: list[str]) -> None:
    """Look at a built model, and write what is noteworthy into the log.

    Raises:
        ConfigError: if parts do not fit together, which the first batch would find out.
    """
    wrong = list(unfitting_parts(model))
    if wrong:
        _refuse(cfg, wrong)
    own = getattr(model, 'module', model)
    if hasattr(own, 'data_preprocessor'):  # copies from pinned memory need not be waited for
        own.data_preprocessor._non_blocking = torch.cuda.is_available()
    for note in [*notes, *filter(None, [batch_note(cfg, Names.of(cfg))])]:
        print_log(note, logger='current', level=logging.WARNING)


def keep_workers(cfg: Config) -> None:
    """Let data-loading processes live from epoch to epoch, where the config does not say."""
    for kind in ('train', 'val'):  # a test has one epoch
        loader = cfg.get(f'{kind}_dataloader')
        if isinstance(loader, dict):
            workers = loader.get('num_workers', 0) > 0
            loader['persistent_workers'] = workers and loader.get('persistent_workers', True)


def _refuse(cfg: Config, wrong: list[str]) -> None:
    listed = '\n  '.join(dict.fromkeys(wrong))
    what = 'a setting' if len(set(wrong)) == 1 else f'{len(set(wrong))} settings'
    raise ConfigError(
        f'{cfg.__dict__.get("_filename") or "config"}: {what} that nothing reads or that cannot '
        f'be meant. Correct or remove:\n  {listed}'
    )


def pin_clips(cfg: Config) -> None:
    """Let clips wait where a GPU reads them beside its work, where the config does not say."""
    for kind in ('train', 'val', 'test'):
        loader = cfg.get(f'{kind}_dataloader')
        if isinstance(loader, dict) and torch.cuda.is_available():
            loader.setdefault('pin_memory', True)
