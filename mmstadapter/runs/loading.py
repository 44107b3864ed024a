"""MMEngine's runner loads a checkpoint: strictly where training does not begin from it."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import Tensor, nn

from .reading import as_named_in, belongs, read_checkpoint
from .resuming import read_newest, require_averages, require_resumable

MODULE = [(r'^module\.', '')]
STATE = 'state_dict'


def load_or_resume(self: Runner) -> None:
    """What a run starts from: the newest checkpoint, the one that is named, or nothing.

    Training from other weights (``load_from``) takes what fits and begins the rest anew; a
    test or a resumed training needs all of it.
    """
    if self._has_loaded:
        return
    training = isinstance(self._train_loop, BaseLoop)
    if not self._resume:
        if self._load_from is not None:
            self.load_checkpoint(self._load_from, strict=not training)
        return
    path, content = self._load_from, None
    if path is None:
        path, content = read_newest(self, get_device()) or (None, None)
    if path is None:
        self.logger.warning(
            f'There is no checkpoint to resume in {self.work_dir}: starting at the beginning.'
        )
    elif training:
        resume_from(self, path, content)
    else:
        self.load_checkpoint(path, strict=True)


def load_checkpoint(
    self: Runner,
    filename: str,
    map_location: Any = 'cpu',
    strict: bool = False,
    revise_keys: list = MODULE,
) -> dict:
    """Load a file's weights into the model; strictly or what fits, see `Runner`.

    Raises:
        RuntimeError: if the file does not belong to the model; without ``strict``, if nothing
            in it does.
    """
    return _load(self, filename, read_checkpoint(filename, map_location), strict, revise_keys)


def resume(
    self: Runner,
    filename: str,
    resume_optimizer: bool = True,
    resume_param_scheduler: bool = True,
    map_location: Any = 'default',
) -> None:
    """Go on with the training that wrote a file, if it holds all that this takes."""
    place = get_device() if map_location == 'default' else map_location
    kept = dict(resume_optimizer=resume_optimizer, resume_param_scheduler=resume_param_scheduler)
    resume_from(self, filename, read_checkpoint(filename, place), **kept)


def resume_from(runner: Runner, filename: str, checkpoint: dict | None, **kept: bool) -> None:
    """`resume` from a file that may have been read already."""
    if checkpoint is None:
        checkpoint = read_checkpoint(filename, get_device())
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    require_averages(runner, checkpoint, filename)

    def load(*_: Any, **__: Any) -> dict:
        loaded = _load(runner, filename, checkpoint, strict=True)
        require_resumable(runner, loaded, filename, **kept)
        return loaded

    vars(runner)['load_checkpoint'] = load  # for MMEngine's resume, which loads leniently
    try:
        hosts_resume(runner, filename, **kept)
    finally:
        del vars(runner)['load_checkpoint']


hosts_resume = getattr(Runner.resume, 'hosts', Runner.resume)


def _load(
    runner: Runner, filename: str, checkpoint: dict, strict: bool, revise_keys: list = MODULE
) -> dict:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    with belongs(filename):
        runner.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        checkpoint['state_dict'] = as_named_in(model, checkpoint['state_dict'])
        if not strict and revise_keys is MODULE:
            _require_some(model, checkpoint['state_dict'])
        _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
    runner._has_loaded = True
    runner.logger.info(f'Load checkpoint from {filename}')
    return checkpoint


def load_into(
    model: nn.Module, source: str | Path | Mapping[str, Tensor], without: str = ''
) -> None:
    """Load a file, or tensors that were read already, into a model without a runner, strictly.

    What the source has of the part ``without`` is not looked at; the model's own stays.
    """
    state = source if isinstance(source, Mapping) else read_checkpoint(str(source), 'cpu')[STATE]
    if without:
        own, start = model.state_dict(), f'{without}.'
        kept = {name: state[name] for name in state if not name.startswith(start)}
        state = kept | {name: own[name] for name in own if name.startswith(start)}
    with nullcontext() if isinstance(source, Mapping) else belongs(str(source)):
        checkpoint = {STATE: as_named_in(model, state)}
        _load_checkpoint_to_model(model, checkpoint, strict=True)


def _require_some(model: nn.Module, state: dict) -> None:
    shapes = {name: tensor.shape for name, tensor in model.named_parameters()}
    if not any(name in shapes and shapes[name] == state[name].shape for name in state):
        raise RuntimeError(
            f'none of its {len(state)} tensors has a name and shape of the model, which would '
            f'stay at random weights; its first is {next(iter(state))}'
        )
