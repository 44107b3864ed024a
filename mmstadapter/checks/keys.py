"""Keys that nobody reads, below the top level of a config."""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import mmaction.registry as of_mmaction
import mmengine.registry as of_mmengine
import torch
from mmaction.evaluation import AccMetric
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .. import shipped
from .signatures import accepted, named

_ALWAYS = {'type', '_scope_', '_delete_'}
# Key -> registry of what stands there. What is in no list is looked for where its parent was.
_PLACES = dict(
    model='MODELS',
    data_preprocessor='MODELS',
    backbone='MODELS',
    trunk='MODELS',
    neck='MODELS',
    cls_head='MODELS',
    text_tower='MODELS',
    similarity='MODELS',
    tokenizer='TOKENIZER',
    dataset='DATASETS',
    datasets='DATASETS',
    pipeline='TRANSFORMS',
    transforms='TRANSFORMS',
    sampler='DATA_SAMPLERS',
    batch_sampler='DATA_SAMPLERS',
    collate_fn='FUNCTIONS',
    worker_init_fn='FUNCTIONS',
    metrics='METRICS',
    tasks='METRICS',
    optimizer='OPTIMIZERS',
    vis_backends='VISBACKENDS',
)
# Forms that functions of the host take apart before they build anything from them.
_OPAQUE = re.compile(r'.*_cfg|clip_grad|blending|arg_dict')
_PREFIXES = ('torchvision.', 'timm.', 'mmcls.', 'mmdet.')  # which MMAction2's recognisers read
_LOOPS = dict(val_cfg='ValLoop', test_cfg='TestLoop')
_HOOKS = {'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'}
_HOOKS |= {'sync_buffers', 'visualization'}
_CLIPPING = dict(norm=torch.nn.utils.clip_grad_norm_, value=torch.nn.utils.clip_grad_value_)
_DISTRIBUTED = {'backend', 'timeout', 'init_backend', 'init_method', 'world_size', 'rank'}
_DISTRIBUTED |= {'store', 'group_name', 'pg_options', 'device_id', 'port'}
ACCURACIES = {'top_k_accuracy', 'mean_class_accuracy'}  # of AccMetric
ACCURACIES |= {'mean_average_precision', 'mmit_mean_average_precision'}
_PARAMWISE = re.compile(r"(?:paramwise_cfg|options)(?:\.(?:get|pop)\(|\[)\s*'(\w+)'")
_TESTING = re.compile(r"test_cfg(?:\.get\(|\[)\s*'(\w+)'")


def unread_keys(cfg: Mapping) -> Iterator[str]:
    """A sentence for each key, or type, that nothing would read."""
    walk = Walk(cfg.get('default_scope') or 'mmengine')
    yield from walk.built(cfg.get('model'), 'model', 'MODELS')
    yield from walk.model_settings(cfg.get('model'))
    for kind in ('train', 'val', 'test'):
        yield from walk.loop(cfg.get(f'{kind}_cfg'), f'{kind}_cfg')
        yield from walk.loader(cfg.get(f'{kind}_dataloader'), f'{kind}_dataloader')
        yield from walk.evaluator(cfg.get(f'{kind}_evaluator'), f'{kind}_evaluator')
    yield from walk.optim_wrapper(cfg.get('optim_wrapper'), 'optim_wrapper')
    further = {'convert_to_iter_based'}
    yield from walk.built(
        cfg.get('param_scheduler'), 'param_scheduler', 'PARAM_SCHEDULERS', further
    )
    yield from walk.hooks(cfg.get('default_hooks'), cfg.get('custom_hooks'))
    yield from walk.environment(cfg)


class Walk:
    """Goes through what a config builds, and compares keys with what constructors take.

    Args:
        scope: the config's ``default_scope``.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.found: dict[tuple[str, str], Any] = {}

    # ------------------------------------------------------------- what is built

    def built(
        self,
        value: Any,
        path: str,
        registry: str,
        further: set[str] | frozenset[str] = frozenset(),
        default: str | None = None,
    ) -> Iterator[str]:
        """Complaints about a config of one thing, or of several, and all that it holds.

        Args:
            value: the dict, or a list or dict of such dicts.
            path: where it stands.
            registry: where its type is looked for.
            further: keys that are taken out before it is built.
            default: its type where it names none.
        """
        if isinstance(value, list | tuple):
            for i, item in enumerate(value):
                yield from self.built(item, f'{path}.{i}', registry, further)
        if not isinstance(value, Mapping):
            return
        kind = value.get('type', default)
        if kind is not None and value.get('_scope_', 'mmaction') in ('mmaction', 'mmstadapter'):
            yield from self._compare(value, kind, path, registry, further)
        for key, item in value.items():
            if not _OPAQUE.fullmatch(str(key)):
                yield from self.built(item, f'{path}.{key}', _PLACES.get(key, registry))

    def _compare(
        self, value: Mapping, kind: Any, path: str, registry: str, further: set | frozenset
    ) -> Iterator[str]:
        factory = self.find(kind, registry)
        if factory is None:
            if _is_certain(path) and not str(kind).startswith(_PREFIXES):
                yield self._unknown(kind, path, registry)
            return
        keys = set(value) - _ALWAYS - further
        known = accepted(factory)
        if known is None:
            yield from _misspelt(keys, named(factory), path)
        else:
            yield from _unread(keys, known, path, getattr(factory, '__name__', str(kind)))
        yield from _inner(value, path, factory)

    def find(self, kind: Any, registry: str) -> Any:
        """The class or function that a type stands for; None where nothing has that name."""
        if not isinstance(kind, str):
            return kind if callable(kind) else None
        if (kind, registry) not in self.found:  # MMEngine takes a millisecond each
            self.found[kind, registry] = self._find(kind, registry)
        return self.found[kind, registry]

    def _find(self, kind: str, registry: str) -> Any:
        root = getattr(of_mmengine, registry, None) or getattr(of_mmaction, registry)
        try:
            with root.switch_scope_and_registry(self.scope) as own:
                return own.get(kind)
        except ImportError:  # of a package that is not there, or of a place MMAction2 lacks
            return root.get(kind) if registry == 'FUNCTIONS' else None

    def _unknown(self, kind: str, path: str, registry: str) -> str:
        scope, _, bare = kind.rpartition('.')
        own = getattr(of_mmaction, registry, None) or getattr(of_mmengine, registry)
        names = sorted({*own.module_dict, *(own.parent.module_dict if own.parent else ())})
        names += [f'mmstadapter.{name}' for name in names if _is_ours(own, name)]
        near = difflib.get_close_matches(bare, names, n=1) if names else []
        found = own.get(near[0]) if near else None
        ours = found is not None and found.__module__.startswith('mmstadapter.')
        hint = f' Did you mean {"mmstadapter." * ours}{near[0]}?' if near else ''
        where = path if path.endswith('constructor') else f'{path}.type'
        return f'{where}: no {registry} has the name {kind!r}.{hint}'

    # ------------------------------------------------------ forms of the host's own

    def model_settings(self, model: Any) -> Iterator[str]:
        """Complaints about ``model.test_cfg``, of which recognisers read what they know."""
        settings = model.get('test_cfg') if isinstance(model, Mapping) else None
        factory = self.find(model['type'], 'MODELS') if settings and 'type' in model else None
        known = _mentioned(factory, _TESTING)
        if settings and known:
            yield from _unread(set(settings), known, 'model.test_cfg', factory.__name__)

    def loop(self, value: Any, path: str) -> Iterator[str]:
        """Complaints about ``train_cfg``, ``val_cfg`` or ``test_cfg``."""
        if not isinstance(value, Mapping):
            return
        epochs = value.get('by_epoch', True)
        default = _LOOPS.get(path, 'EpochBasedTrainLoop' if epochs else 'IterBasedTrainLoop')
        taken_out = {'by_epoch'} if path == 'train_cfg' and 'type' not in value else set()
        yield from self.built(value, path, 'LOOPS', taken_out, default)

    def loader(self, value: Any, path: str) -> Iterator[str]:
        """Complaints about a data loader, its data set, sampler and pipeline."""
        if not isinstance(value, Mapping):
            return
        known = named(DataLoader.__init__) - {'self'} | {'num_batch_per_epoch'}
        yield from _unread(set(value) - _ALWAYS, known, path, 'a data loader')
        for key, item in value.items():
            if isinstance(item, Mapping) and key in _PLACES:
                yield from self.built(item, f'{path}.{key}', _PLACES[key])

    def evaluator(self, value: Any, path: str) -> Iterator[str]:
        """Complaints about metrics, on their own or in an evaluator."""
        if isinstance(value, Mapping) and 'metrics' in value and 'tasks' not in value:
            yield from self.built(value, path, 'EVALUATOR', default='Evaluator')
        else:
            yield from self.built(value, path, 'METRICS')

    def optim_wrapper(self, value: Any, path: str) -> Iterator[str]:
        """Complaints about the optimiser, its wrapper, clipping and parameter groups."""
        if not isinstance(value, Mapping) or not isinstance(value.get('optimizer'), Mapping):
            return
        further = {'constructor', 'paramwise_cfg'}
        yield from self.built(value, path, 'OPTIM_WRAPPERS', further, 'OptimWrapper')
        clipping = value.get('clip_grad') or {}
        if not isinstance(clipping, Mapping):
            yield f'{path}.clip_grad: must be a dict such as dict(max_norm=1), got {clipping!r}.'
            clipping = {}
        function: Any = _CLIPPING.get(clipping.get('type', 'norm'))
        if function is not None:
            known = named(function) - {'parameters'}
            yield from _unread(set(clipping) - {'type'}, known, f'{path}.clip_grad', 'clipping')
        constructor = value.get('constructor', 'DefaultOptimWrapperConstructor')
        factory = self.find(constructor, 'OPTIM_WRAPPER_CONSTRUCTORS')
        if factory is None:
            yield self._unknown(constructor, f'{path}.constructor', 'OPTIM_WRAPPER_CONSTRUCTORS')
        optimizer = self.find(value['optimizer'].get('type'), 'OPTIMIZERS')
        of_group = (optimizer and accepted(optimizer)) or frozenset()
        settings = value.get('paramwise_cfg') or {}
        yield from _paramwise(settings, f'{path}.paramwise_cfg', factory, of_group)

    def hooks(self, default: Any, custom: Any) -> Iterator[str]:
        """Complaints about hooks and the names of default ones."""
        from .hooks import OURS

        further = {'priority'}
        saving = named(Runner.save_checkpoint)
        for name, hook in (default or {}).items():
            path = f'default_hooks.{name}'
            known = {*_HOOKS, *OURS}
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            if name not in known and near:
                yield f'{path}: no default hook has this name. Did you mean {near[0]}?'
                continue
            extra = further | (saving if name == 'checkpoint' else set())
            implied = 'CheckpointHook' if name == 'checkpoint' else None
            yield from self._hook(hook, path, extra, implied)
        if isinstance(custom, Mapping | str):
            yield f'custom_hooks: must be a list of dicts, got {custom!r}.'
            return
        for i, hook in enumerate(custom or ()):
            yield from self._hook(hook, f'custom_hooks.{i}', further)

    def _hook(self, hook: Any, path: str, extra: set, default: str | None = None) -> Iterator[str]:
        if not isinstance(hook, Mapping):
            return
        factory = self.find(hook.get('type', default), 'HOOKS')
        if getattr(factory, '__name__', '') == 'CheckpointHook':  # hands on to saving
            known = named(factory) | named(Runner.save_checkpoint) - {'self'}
            yield from _unread(set(hook) - _ALWAYS - extra, known, path, 'CheckpointHook')
        else:
            yield from self.built(hook, path, 'HOOKS', extra)

    def environment(self, cfg: Mapping) -> Iterator[str]:
        """Complaints about what the runner itself takes apart."""
        known: dict[str, set[str]] = {
            'auto_scale_lr': {'enable', 'base_batch_size'},
            'randomness': named(Runner.set_randomness) - {'self'},
            'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
            'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
            'env_cfg.dist_cfg': _DISTRIBUTED,
            'custom_imports': {'imports', 'allow_failed_imports'},
        }
        for path, names in known.items():
            first, *parts = path.split('.')
            value = cfg.get(first)
            for part in parts:
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, Mapping):
                yield from _unread(set(value) - _ALWAYS, names, path, 'MMEngine')
        yield from self.built(
            cfg.get('log_processor'), 'log_processor', 'LOG_PROCESSORS', default='LogProcessor'
        )
        yield from self.built(cfg.get('visualizer'), 'visualizer', 'VISUALIZERS')


def _is_certain(path: str) -> bool:
    """Whether what stands there is built from the registry that is looked in."""
    parts = [part for part in path.split('.') if not part.isdigit()]
    return parts[-1] in _PLACES or len(parts) == 1 or parts[0] == 'default_hooks'


def _is_ours(registry: Registry, name: str) -> bool:
    found = registry.module_dict.get(name)
    return found is not None and found.__module__.startswith('mmstadapter.')


def _unread(keys: set, known: set | frozenset, path: str, reader: str) -> Iterator[str]:
    for key in sorted(map(str, keys - set(known))):
        yield f'{path}.{key}: {reader} does not read it. {shipped.closest(key, sorted(known))}'


def _inner(value: Mapping, path: str, factory: Any) -> Iterator[str]:
    """Complaints about arguments that are dicts of known names."""
    ours = getattr(factory, '__module__', '').startswith('mmstadapter.datasets.')
    prefix = value.get('data_prefix')
    if ours and isinstance(prefix, Mapping):
        yield from _unread(set(prefix), {'video', 'img'}, f'{path}.data_prefix', factory.__name__)
    options = value.get('metric_options')
    if (
        isinstance(options, Mapping)
        and isinstance(factory, type)
        and issubclass(factory, AccMetric)
    ):
        where = f'{path}.metric_options'
        yield from _unread(set(options), ACCURACIES, where, factory.__name__)
        for name, own in options.items():
            known = {'topk'} if name == 'top_k_accuracy' else set(own)
            yield from _unread(set(own), known, f'{where}.{name}', factory.__name__)


def _misspelt(keys: set, known: set[str], path: str) -> Iterator[str]:
    """Where any name may be read: only those that are all but one that is known."""
    for key in sorted(map(str, keys - known)):
        near = difflib.get_close_matches(key, known - keys, n=1, cutoff=0.9)
        # Not pool_stride_s for pool_stride_t, which may be another of its kind.
        if near and (len(near[0]) != len(key) or sorted(near[0]) == sorted(key)):
            yield f'{path}.{key}: did you mean {near[0]}?'


def _paramwise(
    settings: Mapping, path: str, factory: Any, of_group: set[str] | frozenset[str]
) -> Iterator[str]:
    """Complaints about options of parameter groups, which are read one by one, if at all.

    Only where the host's constructor or ours reads them: others may take them for names.
    """
    ours = getattr(factory, '__module__', '').startswith('mmstadapter.')
    if not ours and factory is not DefaultOptimWrapperConstructor:
        return
    known = _mentioned(factory, _PARAMWISE)
    yield from _unread(set(settings), known, path, factory.__name__)
    rules = settings.get('custom_keys')
    for name, rule in rules.items() if isinstance(rules, Mapping) else ():
        where = f'{path}.custom_keys[{name!r}]'
        yield from _unread(set(rule), of_group | {'lr_mult', 'decay_mult'}, where, 'a group')


def _mentioned(factory: Any, pattern: re.Pattern) -> set[str]:
    """The names that the source of a class and its bases asks a dict for."""
    names: set[str] = set()
    for cls in inspect.getmro(factory) if inspect.isclass(factory) else ():
        try:
            names.update(pattern.findall(inspect.getsource(cls)))
        except (OSError, TypeError):
            continue
    return names
