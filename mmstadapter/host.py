"""The one place that patches the host packages, in memory; no file of theirs is touched.

Each patch first looks whether it is still needed and does nothing otherwise; it says what
fails without it, with which versions, and when it can go. ``import mmstadapter`` applies them
all before anything of MMAction2's models is imported.
"""

import io
import logging
import pickle
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.config.utils import _get_package_and_cfg_path
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.logging import HistoryBuffer
from mmengine.logging.logger import MMFormatter
from mmengine.registry import OPTIMIZERS
from packaging.version import Version

from . import shipped
from .late_imports import LateBase, LateTable, given_late, imported_late
from .printing import printable


def mend() -> list[str]:
    """Apply every patch that is needed; the names of those that were."""
    return [function.__name__ for function in MENDS if function()]


def supply_drn() -> bool:
    """Let ``import mmaction.models`` work with the wheel of MMAction2 1.2.0.

    Without it: ``ModuleNotFoundError: No module named 'mmaction.models.localizers.drn'``; the
    wheel on PyPI lacks that sub-package (an action localiser), and its parent imports it. A
    placeholder takes its place and says so when built. Can go with a wheel that has the folder.
    """
    name = 'mmaction.models.localizers'
    spec = find_spec('mmaction')
    if {name, f'{name}.drn'} & set(sys.modules) or spec is None or spec.origin is None:
        return False
    if Path(spec.origin).with_name('models').joinpath('localizers', 'drn').is_dir():
        return False

    class DRN:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise ImportError(
                'DRN: the mmaction2 1.2.0 wheel lacks mmaction/models/localizers/drn. '
                "Install MMAction2 from its source to use this localiser; mmstadapter doesn't."
            )

    package, module = ModuleType(f'{name}.drn'), ModuleType(f'{name}.drn.drn')
    package.__path__ = []
    vars(package)['drn'], vars(module)['DRN'] = module, DRN
    sys.modules |= {package.__name__: package, module.__name__: module}
    return True


def _history_method(owner: Any, name: str) -> Any:
    """Stands in for ``getattr`` in checkpoints: serves HistoryBuffer's own statistics only."""
    if owner is HistoryBuffer and name in HistoryBuffer()._statistics_methods:
        return getattr(owner, name)
    raise pickle.UnpicklingError(
        f'mmstadapter: a checkpoint asks for attribute {name!r} of {owner!r}; only the statistics '
        'of mmengine.logging.HistoryBuffer are served. Load files of this kind with MMEngine '
        'alone, and only if you trust their author.'
    )


def trust_training_state() -> bool:
    """Let torch >= 2.6 read MMEngine's own training checkpoints with ``weights_only`` kept on.

    Without it: ``UnpicklingError: Weights only load failed ... Unsupported global: GLOBAL
    mmengine.logging.history_buffer.HistoryBuffer`` in ``mim test``, ``--resume``, ``load_from``;
    MMEngine 0.10.7 stores the log history (NumPy arrays and ``getattr`` of its statistics)
    beside the weights. Can go when MMEngine registers these types itself.
    """
    try:
        _read_safely(_training_state())
        return False
    except pickle.UnpicklingError:
        pass
    multiarray = _import('numpy._core.multiarray')
    allowed: list[Any] = [HistoryBuffer, np.ndarray, np.dtype]
    allowed += [type(np.dtype(code)) for code in '?bhilqBHILQefd']
    for function in (multiarray._reconstruct, multiarray.scalar):
        # Files written under NumPy 1 say numpy.core.
        allowed += [(function, f'numpy.{at}.multiarray.{function.__name__}') for at in _CORES]
    allowed.append((_history_method, 'builtins.getattr'))
    torch.serialization.add_safe_globals(allowed)
    return True


_CORES = ('_core', 'core')


def _training_state() -> bytes:
    history = HistoryBuffer([1.0], [1])
    stream = io.BytesIO()
    torch.save({'loss': history, 'lr': np.float64(1), 'iter': np.int64(1)}, stream)
    return stream.getvalue()


def _read_safely(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def leave_out_multimodal() -> bool:
    """Keep ``import mmaction.models`` working beside a recent ``transformers``.

    Without it: ``ImportError: cannot import name 'apply_chunking_to_forward' from
    'transformers.modeling_utils'`` (or no module ``timm``): MMAction2 1.2.0 imports VindLU
    whenever transformers is installed, which works up to 4.48.3. MMPretrain 1.2.0 does the
    same with BLIP when pycocotools is there too. Both have placeholders for the case that
    transformers is absent, and get those. Can go when both import with transformers 5.
    """
    try:
        if Version(version('transformers')) <= Version('4.48.3') and find_spec('timm'):
            return False
    except PackageNotFoundError:
        return False
    left_out = False
    for package in ('mmaction', 'mmpretrain'):
        if f'{package}.models' in sys.modules or find_spec(package) is None:
            continue
        dependency = _import(f'{package}.utils.dependency')
        left_out |= dependency.WITH_MULTIMODAL
        dependency.WITH_MULTIMODAL = False
    return left_out


def import_optimizers_late() -> bool:
    """Leave ``transformers`` and ``bitsandbytes`` alone until somebody asks for their optimizers.

    Without it: every command waits 6 to 14 s more beside transformers and peft, and 1.5 s beside
    bitsandbytes, which imports PyTorch's compiler: MMEngine 0.10.7 imports all of them to
    register optimizers. They are found under the same names and imported then. Can go when
    MMEngine registers them so.
    """
    names = {'transformers', 'bitsandbytes'} - set(sys.modules)
    late = [name for name in names if find_spec(name)]
    if not late or 'mmengine.optim' in sys.modules:
        return False
    sys.modules |= dict.fromkeys(late)  # type: ignore[arg-type]  # an import then fails
    try:
        builder = _import('mmengine.optim.optimizer.builder')
    finally:
        for name in late:
            del sys.modules[name]
    if 'transformers' in late and 'Adafactor' not in OPTIMIZERS:
        OPTIMIZERS.register_module('Adafactor', module=_adafactor)
    if 'bitsandbytes' in late:

        def register() -> None:
            builder.BITSANDBYTES_OPTIMIZERS += builder.register_bitsandbytes_optimizers()

        OPTIMIZERS._module_dict = LateTable(OPTIMIZERS._module_dict, {}, rest=register)
    return True


def import_zero_late() -> bool:
    """Leave ``torch.distributed.optim`` alone until somebody trains with ZeroRedundancyOptimizer.

    Without it: every command waits 1.3 s more for what MMEngine 0.10.7 imports to register one
    optimizer: sharded tensors, FSDP, sympy. The class is registered as ever; the first one that
    is built gets its real base. Can go when MMEngine imports it so.
    """
    name = 'torch.distributed.optim'
    if {'mmengine.optim', name} & set(sys.modules):
        return False
    with imported_late(name, ZeroRedundancyOptimizer=LateBase):
        import_optimizers_late() or _import('mmengine.optim')
    return True


def import_fsdp_late() -> bool:
    """Leave ``torch.distributed.fsdp`` alone until somebody asks for MMEngine's wrapper of it.

    Without it: every command waits a second more for sharded tensors and sympy, which MMEngine
    0.10.7 imports with its model wrappers and strategies. Both are found in their registries and
    modules as ever, and imported then. Can go when MMEngine imports them so.
    """
    if {'mmengine.model', 'mmengine._strategy', 'torch.distributed.fsdp'} & set(sys.modules):
        return False
    registry = _import('mmengine.registry')
    late = (
        (registry.MODEL_WRAPPERS, 'mmengine.model.wrappers.fully_sharded_distributed',
         'MMFullyShardedDataParallel', ('mmengine.model.wrappers', 'mmengine.model')),
        (registry.STRATEGIES, 'mmengine._strategy.fsdp', 'FSDPStrategy', ('mmengine._strategy',)),
    )  # fmt: skip
    with ExitStack() as stack:
        for _, module, name, _ in late:
            stack.enter_context(imported_late(module, **{name: None}))
        _import('mmengine.runner')
    for table, module, name, packages in late:
        table._module_dict = LateTable(table._module_dict, {name: module})
        for package in packages:
            given_late(sys.modules[package], name, module)
    return True


def import_scipy_late() -> bool:
    """Leave ``scipy.stats`` alone until somebody's pose pipeline asks for the mode of a sample.

    Without it: every command waits 1.1 s more for what MMAction2 1.2.0 imports for one function
    of one step on skeletons. Can go when MMAction2 imports it there.
    """
    name = 'scipy.stats'
    if {'mmaction.datasets', name} & set(sys.modules):
        return False

    def mode(*args: Any, **kwargs: Any) -> Any:
        return _import(name).mode(*args, **kwargs)

    with imported_late(name, mode=mode):
        _import('mmaction.datasets')
    return True


def _adafactor(*args: Any, **kwargs: Any) -> Any:
    return _import('transformers').Adafactor(*args, **kwargs)


def _import(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def inherit_shipped_configs() -> bool:
    """Make ``_base_ = 'mmstadapter::stadapter_vit-b_k400.py'`` work in a user's config.

    Without it: ``AssertionError: mmengine does not support to load mmstadapter config``, and a
    ``ValueError`` for a name without a folder; MMEngine 0.10.7 has a fixed table of packages.
    No ``_scope_`` is written into the inherited dicts: our configs name our classes with their
    package and leave the default scope to MMAction2, and some readers of dicts
    (``collate_fn``) would take it for an argument. Can go when MMEngine accepts any package.
    """
    try:
        _get_package_and_cfg_path('mmstadapter::stadapter_vit-b_k400.py')
        return False
    except (AssertionError, ValueError):
        pass
    if getattr(Config._get_cfg_path, 'knows_mmstadapter', False):
        return False
    theirs = Config._get_cfg_path

    def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(shipped.PREFIX):
            return str(shipped.config(cfg_path)), None
        return theirs(cfg_path, filename)

    vars(_get_cfg_path)['knows_mmstadapter'] = True
    Config._get_cfg_path = staticmethod(_get_cfg_path)
    return True


def find_packages_without_pkg_resources() -> bool:
    """Let configs inherit from ``mmaction::...`` under setuptools >= 82.

    Without it: ``ModuleNotFoundError: No module named 'pkg_resources'`` from
    ``mmengine/utils/package_utils.py``; setuptools 82 removed that module. The two functions
    that use it are answered by importlib.metadata. Can go when MMEngine does so. (mim needs
    setuptools < 82 all the same; ``mmstadapter train`` does not.)
    """
    if find_spec('pkg_resources') is not None:
        return False
    utils = _import('mmengine.utils.package_utils')
    for ours in (is_installed, get_installed_path, package2module):
        theirs = getattr(utils, ours.__name__)
        if theirs is ours:
            return False
        for name, module in list(sys.modules.items()):
            if name.startswith('mmengine') and getattr(module, ours.__name__, None) is theirs:
                setattr(module, ours.__name__, ours)
    return True


def is_installed(package: str) -> bool:
    """Whether a distribution or a module of this name can be found."""
    try:
        distribution(package)
        return True
    except PackageNotFoundError:
        spec = find_spec(package)
        return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """The folder of a package's module, by the name of its distribution or its own.

    Raises:
        ModuleNotFoundError: if there is none, or it is a namespace without a file.
    """
    spec = find_spec(package2module(package))
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f'{package} is not installed. Install it with pip.')
    return str(Path(spec.origin).parent)


def package2module(package: str) -> str:
    """'mmaction2' -> 'mmaction', by the distribution's metadata; other names stay."""
    try:
        names = (distribution(package).read_text('top_level.txt') or package).split()
    except PackageNotFoundError:
        return package
    return names[0]


def synchronise_on_cpus() -> bool:
    """Let the field ``sync_bn = 'torch'`` of a config work on machines without a GPU.

    Without it: ``ValueError: SyncBatchNorm layers only work with GPU modules`` from PyTorch's
    DistributedDataParallel, for which MMEngine 0.10.7 has put ``torch.nn.SyncBatchNorm`` in the
    place of every batch norm. On a CPU ours takes that place; on GPUs nothing changes. Can go
    when PyTorch's runs on CPUs.
    """
    runner = _import('mmengine.runner.runner')
    theirs = runner.convert_sync_batchnorm
    if getattr(theirs, 'knows_cpus', False):
        return False

    def convert_sync_batchnorm(module: Any, implementation: str = 'torch') -> Any:
        if implementation == 'torch' and get_device() == 'cpu':
            return _import('mmstadapter.models.ops.sync_batch_norm').synchronise(module)
        return theirs(module, implementation)

    vars(convert_sync_batchnorm)['knows_cpus'] = True
    runner.convert_sync_batchnorm = convert_sync_batchnorm
    return True


def check_configs() -> bool:
    """Let every door to training and testing look at the config before it builds anything.

    Without it: ``train_dataloder = ...`` and ``clip_grad=dict(max_norm=-1)`` train in silence,
    and ``custom_hooks = [...]`` in a child config drops the hooks that our promises hang on
    (MMEngine 0.10.7 replaces inherited lists). ``Runner.from_cfg`` is where our tools, mim and
    MMAction2's own ``tools/train.py`` meet; configs without a part of ours pass as they are. Can
    go when MMEngine checks what it is given, and merges hooks by name.
    """
    runner = _import('mmengine.runner').Runner
    theirs = runner.from_cfg.__func__
    if getattr(theirs, 'checks_configs', False):
        return False

    def from_cfg(cls: type, cfg: Any) -> Any:
        checks = _import('mmstadapter.checks')
        if not checks.has_our_parts(cfg):
            return theirs(cls, cfg)
        cfg, notes = checks.prepare(cfg)
        runner = theirs(cls, cfg)
        checks.check_built(runner.model, cfg, notes)
        return runner

    vars(from_cfg)['checks_configs'] = True
    runner.from_cfg = classmethod(from_cfg)
    return True


def spread_fields() -> bool:
    """Let one field of a config, such as ``clip_len = 16``, reach every step and the model.

    Without it: each of three loaders is changed by the position of a step,
    ``test_dataloader.dataset.pipeline.1.clip_len=16``, since MMEngine 0.10.7 merges dicts and
    not lists. It is done for each file of a config, so that a file's own changes of a step
    come after, and again when a setting is changed by name; `check_configs` does it last. Can
    go when MMEngine evaluates a config after all its files and options are known.
    """
    theirs, merge = Config._file2dict, Config.merge_from_dict
    if getattr(theirs, 'spreads_fields', False):
        return False
    fields = _import('mmstadapter.config_fields')

    def _file2dict(*args: Any, **kwargs: Any) -> tuple[dict, str, dict]:
        found, *rest = theirs(*args, **kwargs)
        if fields.has_our_parts(found):
            fields.spread_fields(found)
        return found, *rest

    def merge_from_dict(self: Config, options: dict, allow_list_keys: bool = True) -> None:
        ours = fields.has_our_parts(self)
        if ours:
            fields.spread_fields(self)
        merge(self, options, allow_list_keys)
        if ours:
            fields.spread_fields(self)

    vars(_file2dict)['spreads_fields'] = True
    Config._file2dict = staticmethod(_file2dict)
    Config.merge_from_dict = merge_from_dict
    return True


def note_options() -> bool:
    """Remember which settings of a config were set by name, as ``--cfg-options`` does.

    Without it: ``--cfg-options data_root=/videos`` changes nothing, since the expressions of a
    config have been evaluated by then, and nothing says so. Can go when MMEngine refuses names
    that nothing reads.
    """
    theirs = Config.merge_from_dict
    if getattr(theirs, 'notes_options', False):
        return False

    def merge_from_dict(self: Config, options: dict, allow_list_keys: bool = True) -> None:
        theirs(self, options, allow_list_keys)
        noted = self.__dict__.get('_set_by_name', {}) | options
        object.__setattr__(self, '_set_by_name', noted)

    vars(merge_from_dict)['notes_options'] = True
    Config.merge_from_dict = merge_from_dict
    return True


def print_names_as_text() -> bool:
    """Keep names of files and labels from commanding the terminal that a log is shown on.

    Without it: a video called ``'\\x1b[2J.mp4'`` that cannot be decoded clears the screen when
    it is reported; MMEngine 0.10.7 logs texts as they are. Can go when MMEngine escapes them.
    """
    if getattr(MMFormatter.formatMessage, 'escapes', False):
        return False

    def formatMessage(self: logging.Formatter, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = printable(record.message)
        return logging.Formatter.formatMessage(self, record)

    vars(formatMessage)['escapes'] = True
    MMFormatter.formatMessage = formatMessage
    return True


COMPILED_PARTS = ('backbone', 'text_tower')


def compile_parts() -> bool:
    """Let ``compile = True`` of a config compile a model's encoders, each one graph.

    Without it: MMEngine 0.10.7 compiles the whole ``train_step``, data preprocessor, optimizer
    and gradient scaling included, which breaks into many graphs, and validation runs as before.
    What has no such part is left to MMEngine. Can go when MMEngine compiles modules.
    """
    runner = _import('mmengine.runner.runner').Runner
    theirs = runner._maybe_compile
    if getattr(theirs, 'knows_parts', False):
        return False

    def _maybe_compile(self: Any, target: str) -> None:
        options = self.cfg.get('compile') or None
        model = getattr(self.model, 'module', self.model)
        parts = [getattr(model, name, None) for name in COMPILED_PARTS]
        ours = [part for part in parts if type(part).__module__.startswith('mmstadapter.')]
        if options is None or not ours:
            return theirs(self, target)
        _import('mmstadapter.models.recomputing').tell_compiler(ours)
        for part in ours:
            part.compile(**(options if isinstance(options, dict) else {}))
        names = ', '.join(type(part).__name__ for part in ours)
        self.logger.info(f'compile: {names}; the first steps take longer.')
        return None

    vars(_maybe_compile)['knows_parts'] = True
    runner._maybe_compile = _maybe_compile
    return True


_NOISE = (
    'Fail to import ``MultiScaleDeformableAttention``',  # mmcv-lite has no compiled operators
    'pkg_resources is deprecated',  # MMEngine 0.10.7, at every inherited config
)


def hush_known_warnings() -> bool:
    """Keep warnings that no user of ours can act upon out of every run's first lines.

    Without it: six lines about ``pkg_resources`` and one about an operator of the full mmcv,
    which nothing here uses. Can go with MMEngine and mmcv releases that do not warn.
    """
    known = {getattr(message, 'pattern', None) for _, message, *_ in warnings.filters}
    new = [start for start in map(re.escape, _NOISE) if start not in known]
    for start in new:
        warnings.filterwarnings('ignore', message=start)
    return bool(new)


def mend_runs() -> bool:
    """Let runs survive kills, full disks and checkpoints that do not fit; see `runs.mends`.

    Each repair there says what fails without it. They come after those of imports, because they
    import MMEngine's runner.
    """
    return any([mend() for mend in _import('mmstadapter.runs.mends').MENDS])


MENDS: tuple[Callable[[], bool], ...] = (
    supply_drn,
    trust_training_state,
    import_zero_late,
    import_optimizers_late,
    import_fsdp_late,
    leave_out_multimodal,
    inherit_shipped_configs,
    find_packages_without_pkg_resources,
    synchronise_on_cpus,
    compile_parts,
    check_configs,
    spread_fields,
    note_options,
    print_names_as_text,
    hush_known_warnings,
    import_scipy_late,
    mend_runs,
)


def join_processes(cfg: Config) -> bool:
    """Join the processes of ``--launcher pytorch`` on a machine without a GPU, with gloo.

    Without it: ``RuntimeError: Found no NVIDIA driver on your system``, whatever backend the
    config names: MMEngine 0.10.7 selects a CUDA device first, and then gives
    DistributedDataParallel device ids, which CPU modules must not have. A group that exists is
    used as it is, and an explicit ``model_wrapper_cfg`` wins over MMEngine's defaults. Called by
    our commands before the runner is built; does nothing on a GPU, where MMEngine joins them.
    Can go when MMEngine honours ``dist_cfg.backend`` on CPUs.
    """
    if cfg.get('launcher') != 'pytorch' or get_device() != 'cpu':
        return False
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = wrapper | (cfg.get('model_wrapper_cfg') or {}) | {'device_ids': None}
    if not is_distributed():
        timeout = ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout')
        bound = None if timeout is None else timedelta(seconds=timeout)
        torch.distributed.init_process_group('gloo', timeout=bound)
    return True
