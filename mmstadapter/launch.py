"""What the commands share: reading a config, building a runner, loading a trained model."""

import argparse
import ast
import gc
import re
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from . import host, shipped
from .apis.building import build_model
from .config_fields import choose_split
from .datasets.repeated import check_collate

SPACED = re.compile(r'[^\s,]\s+[^\s,]')  # a space that does not follow a comma alone


def read_config(args: argparse.Namespace) -> Config:
    """The config named on the command line, with its options merged in.

    Args:
        args: with ``config`` (a path or a shipped name), ``launcher``, ``work_dir`` and
            ``cfg_options`` (a list of KEY=VALUE, or None).

    ``work_dir`` is, in this order, the command line's, the config's, ./work_dirs/<config>.
    ``split``, if the config has one, ends the last and is written into the annotation files'
    names, see :func:`choose_split`.

    Raises:
        FileNotFoundError: with the closest shipped names, if the config is not found.
    """
    path = shipped.find_config(args.config)
    cfg = Config.fromfile(path)
    cfg.launcher = args.launcher
    options = parse_options(args.cfg_options or [])
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, ValueError) as error:  # a place in a list that is too short ...
        reason = f'--cfg-options {" ".join(args.cfg_options)}: {error.args[0]}.'
        raise SystemExit(f'{reason} Name a setting that {path} has.') from error
    choose_split(cfg)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        split = f'_split{cfg.split}' if 'split' in cfg else ''
        cfg.work_dir = str(Path('work_dirs') / (Path(path).stem + split))
    return cfg


def parse_options(options: list[str]) -> dict:
    """['model.backbone.bottleneck_dims=96', 'a=[1,2]'] -> a dict for Config.merge_from_dict.

    A text may have spaces, ``prompt=a photo of {}``; MMEngine alone would take them out.
    """
    parser = argparse.ArgumentParser(prog='--cfg-options')
    parser.add_argument('options', nargs='*', action=DictAction, default={})
    wrong = [option for option in options if '=' not in option]
    if wrong:
        raise SystemExit(f'--cfg-options takes KEY=VALUE, got {" ".join(wrong)!r}.')
    texts = [option for option in options if SPACED.search(option.partition('=')[2])]
    rest = [option for option in options if option not in texts]
    found = parser.parse_args(rest).options if rest else {}
    return found | dict(map(_with_spaces, texts))


def _with_spaces(option: str) -> tuple[str, Any]:
    """(key, value) of KEY=VALUE: a Python literal, or else a text as it stands."""
    key, _, value = option.partition('=')
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        if value[0] not in '[({' and ',' not in value:
            return key, value
    raise SystemExit(
        f'--cfg-options {option}: a list or a text with commas and spaces must be written as in '
        """Python, with each text in quotes: "KEY='a photo of a {}, indoors'", """
        """"KEY=['a photo of {}', '{} from above']".""",
    )


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, in its group of processes where a launcher asks for one."""
    check_collate(cfg.get('train_dataloader'))
    host.join_processes(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def init_weights(runner: Runner) -> None:
    """Let a runner's model read its pretrained files, which a runner does for training alone."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    model.init_weights()


def require_untrained(model: nn.Module) -> None:
    """End with a message where a model has something to train, so that it needs a checkpoint."""
    tuned = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if tuned:
        raise SystemExit(
            f'mmstadapter test: this recipe trains {len(tuned)} tensors, such as {tuned[0]}, so '
            'a CHECKPOINT is needed, the file that its training wrote. Give it, or `none` to test '
            'the model as it starts.'
        )


def load_model(cfg: Config, checkpoint: str, device: str | None = None) -> nn.Module:
    """A config's model with a checkpoint's weights, strictly, in eval mode.

    Args:
        cfg: the config.
        checkpoint: any file MMEngine loads, with tuned weights only or all.
        device: where to; the accelerator if there is one by default.

    Raises:
        RuntimeError: if the file is damaged, lacks tensors, or has others.
        ValueError: if it holds no weights, or some that are not numbers.
    """
    model = build_model(cfg.model, checkpoint, scope=cfg.get('default_scope', 'mmaction'))
    return model.to(device or get_device())


def leave_processes() -> None:
    """Close the group of processes after the work, so that torch does not warn at exit.

    Call it when nothing refers to the runner any more. The wrapped model has to go before the
    group: when it is the group's last owner, torch 2.13 joins gloo's thread with Python's lock
    held, which that thread may be waiting for, and the process never ends.
    """
    if is_distributed():
        gc.collect()  # the runner and its loops refer to each other
        torch.distributed.destroy_process_group()
