"""Top-level names of a config: fields that are read, helpers that are used, and the rest."""

import ast
import difflib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.runner import Runner

from .. import config_fields, shipped
from .written import Written, read_chain

# What the runner's constructor takes, what it looks up in the whole config, and what tools read.
FIELDS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
FIELDS |= {'runner_type', 'model_wrapper_cfg', 'sync_bn', 'find_unused_parameters', 'compile'}
FIELDS |= {'custom_imports', 'efficient_conv_bn_eval', 'activation_checkpointing', 'split'}
FIELDS |= {'memory'}
# Fields of MMAction 0.x; MMAction2 1.x reads others.
OLD = dict(
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper.clip_grad',
    lr_config='param_scheduler',
    total_epochs='train_cfg.max_epochs',
    checkpoint_config='default_hooks.checkpoint',
    log_config='default_hooks.logger',
    evaluation='val_evaluator and train_cfg.val_interval',
    data='train_dataloader, val_dataloader and test_dataloader',
    resume_from='load_from together with resume',
    workflow='train_cfg',
    dist_params='env_cfg.dist_cfg',
    cudnn_benchmark='env_cfg.cudnn_benchmark',
    fp16="optim_wrapper.type='mmstadapter.AmpOptimWrapper'",
)
CLOSE = 0.75  # no helper of a shipped config, or of MMAction2's, is that like a field


@dataclass
class Names:
    """The top level of a config, and where it comes from.

    Attributes:
        cfg: the config.
        files: its files, itself first; see `read_chain`.
        options: what was set by name afterwards (``--cfg-options``).
    """

    cfg: Mapping
    files: list[Written]
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cfg: Mapping) -> 'Names':
        """Look at the files of a config."""
        path = cfg.__dict__.get('_filename')
        return cls(cfg, read_chain(path), cfg.__dict__.get('_set_by_name') or {})

    @property
    def helpers(self) -> list[str]:
        """Names that neither the host reads nor a step or a model follows."""
        followed = set(filter(self.is_followed, config_fields.FIELDS))
        return [name for name in self.cfg if name not in FIELDS | followed]

    def is_followed(self, name: str) -> bool:
        """Whether some place takes its value from a field; see `config_fields`."""
        places = config_fields.places(self.cfg, name)
        return any(isinstance(part[key], config_fields.Following) for _, part, key in places)

    @property
    def are_written_out(self) -> bool:
        """Whether no expression is left, as in the config that a run writes to its work dir.

        Its helpers hold what they held before anything was changed.
        """
        return not any(file.names & file.used for file in self.files)

    def is_used(self, name: str, depth: int | None = None) -> bool:
        """Whether an expression of a file reads a name; at most so deep in the inheritance."""
        files = (f for f in self.files if depth is None or f.depth <= depth)
        return any(name in file.used for file in files)

    def depth(self, name: str, *keys: str) -> int | None:
        """How far away a field, or a key in it, was set last.

        Returns:
            -1: by name, 0: in the file itself, 1: in what it inherits, ...; None: nowhere.
        """
        for option in self.options:
            top, *parts = option.split('.')
            if top == name and (not keys or set(parts) & set(keys)):
                return -1
        set_here = (
            f.depth
            for f in self.files
            if name in f.names and (not keys or f.keys.get(name, set()) & set(keys))
        )
        return min(set_here, default=None)

    @property
    def nested(self) -> set[str]:
        """All keys within the fields."""
        fields = {key: self.cfg[key] for key in self.cfg if key in FIELDS}
        return {path.rpartition('.')[2] for path, _ in walk_through(fields)}

    def elsewhere(self, name: str) -> list[tuple[str, Any]]:
        """(dotted name, value) of what is called so within the fields."""
        fields = {key: self.cfg[key] for key in self.cfg if key in FIELDS}
        return [(path, value) for path, value in walk_through(fields) if path.endswith('.' + name)]


def unread_fields(names: Names) -> Iterator[str]:
    """A sentence for each top-level name that is surely meant for a field, or changes nothing."""
    tops = {key.partition('.')[0] for key in names.options}
    for name in names.helpers:
        by_name = name in tops
        if by_name and names.is_used(name):
            yield (
                f'{name}: set by name when the config had been read, and nothing reads it then: '
                f'its expressions have been evaluated.{_instead(_made_from(names, name))}'
            )
        elif names.is_used(name):
            yield from _overridden(names, name)
        elif name in OLD and not names.are_written_out:
            yield f'{name}: a field of MMAction 0.x that nothing reads. Set {OLD[name]}.'
        else:
            yield from _stray(names, name, by_name)


def _stray(names: Names, name: str, by_name: bool) -> Iterator[str]:
    """About a name that no expression reads."""
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=CLOSE)
    if near:
        yield f'{name}: nothing reads this field. Did you mean {near[0]}?'
        return
    same = names.elsewhere(name)
    ignored = same and not any(value == names.cfg[name] for _, value in same)
    ignored = ignored and not names.are_written_out
    invented = by_name and names.files and not any(name in f.names for f in names.files)
    if ignored or invented:
        like = difflib.get_close_matches(name, names.nested, n=1, cutoff=CLOSE)
        meant = difflib.get_close_matches(name, config_fields.FIELDS, n=1, cutoff=CLOSE)
        hint = (
            _instead(same or (names.elsewhere(like[0]) if like else []))
            or f' {shipped.closest(name, sorted(FIELDS))}'
        )
        hint = f' Did you mean {meant[0]}?{hint}' if meant and meant[0] != name else hint
        yield f'{name}: nothing reads this field.{hint}'


def _overridden(names: Names, name: str) -> Iterator[str]:
    """About a helper of an inherited file, given another value where nothing uses it."""
    places = sorted((f for f in names.files if name in f.names), key=lambda file: file.depth)
    if len(places) < 2 or names.is_used(name, places[0].depth):
        return
    if _assigned(places[0].path, name) == _assigned(places[-1].path, name):
        return
    yield (
        f'{name}: {places[0].path} gives it another value, which nothing uses: what '
        f'{places[-1].path} made from it keeps the old one.{_instead(_made_from(names, name))}'
    )


def _made_from(names: Names, name: str) -> list[tuple[str, Any]]:
    """(dotted name, value) of the fields that have a helper's name, or its value."""
    fields = {key: names.cfg[key] for key in names.cfg if key in FIELDS}
    value = names.cfg[name]
    equal = [(p, v) for p, v in walk_through(fields) if type(v) is type(value) and v == value]
    return names.elsewhere(name) or equal


def _instead(places: list[tuple[str, Any]]) -> str:
    """Where the same would be read, as a sentence."""
    return f' Set {" and ".join(path for path, _ in places[:3])} instead.' if places else ''


def idle_names(names: Names) -> str:
    """A sentence about further names that nothing uses, '' if there are none."""
    idle = [name for name in names.helpers if not names.is_used(name)]
    if not idle or names.are_written_out:
        return ''
    return f'No expression of the config, and nothing else, reads {", ".join(idle)}.'


def other_values(names: Names) -> Iterator[str]:
    """A sentence for each field of which places have another value that nobody would expect."""
    for name in config_fields.FIELDS:
        others = config_fields.exceptions(names.cfg, name)
        if others and (name == 'clip_len' or name in names.options):
            listed = ', '.join(f'{path}: {value}' for path, value in others.items())
            yield f'{name} is {names.cfg[name]}, but a value of its own has {listed}.'


def walk_through(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything below a value."""
    if isinstance(value, Mapping):
        items: Any = value.items()
    else:
        items = enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield f'{path}{key}', item
        yield from walk_through(item, f'{path}{key}.')


def _assigned(path: str, name: str) -> str | None:
    """The expression that a file assigns to a name last, as text."""
    with open(path, encoding='utf-8') as file:
        tree = ast.parse(file.read())
    found = [
        ast.dump(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]
    return found[-1] if found else None
