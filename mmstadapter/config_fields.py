"""Fields at the top level of a config that reach every place where their value stands.

`clip_len = 16` in a config that inherits one of ours, `--cfg-options clip_len=16`, or
`cfg.clip_len = 16` before a runner is built: every step that samples frames takes 16 then, and a
model with a table of 16 time positions has 16 rows; `base_classes` stands in head, training data
and metric. A place that has the field's value follows it from then on; one that is given another
value keeps that. `pixels = 'uint8'` reaches the steps that resize: whole grey levels, a quarter of
the bytes on the way to the device; `cache` those that open videos.

Any other setting of a step is said by the step's name beside the pipeline, and is gone from there
when it has been written into it:

    train_dataloader = dict(dataset=dict(steps=dict(RandomSquare=dict(size=336))))

`host` calls this where configs are read, changed by name and run.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.config import Config
from yaml.representer import Representer

CHOICES = ('base_classes',)  # a word or a list of numbers
FIELDS = ('clip_len', 'frame_interval', 'num_clips', 'num_views', 'num_crops', *CHOICES)
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
RUN = (*LOADERS, 'model', 'val_evaluator', 'test_evaluator')
RESIZING = ('ResizeShortSide', 'RandomResizedSquare')
WORDS = {'pixels': RESIZING, 'cache': ('VideoInit',)}  # and the steps that take them
MODEL_NAMES = {'clip_len': 'num_frames', 'num_clips': 'num_segments'}  # what a model calls it


class Following:
    """A value that its config's field gave, and that changes with it."""


class FollowingNumber(Following, int):
    """A number that follows."""


class FollowingWord(Following, str):
    """A word that follows."""


class FollowingList(Following, list):
    """A list that follows."""


# YAML knows no subclasses.
Representer.add_representer(FollowingNumber, Representer.represent_int)
Representer.add_representer(FollowingWord, Representer.represent_str)
Representer.add_representer(FollowingList, Representer.represent_list)


def following(value: int | str | list | tuple) -> Following:
    """The same value, which follows."""
    if isinstance(value, str):
        return FollowingWord(value)
    return FollowingNumber(value) if isinstance(value, int) else FollowingList(value)


def has_our_parts(value: Any) -> bool:
    """Whether a config names a class of this package, or imports it."""
    if isinstance(value, Mapping | Config):
        return any(has_our_parts(value[key]) for key in value)
    if isinstance(value, list | tuple):
        return any(map(has_our_parts, value))
    name = value if isinstance(value, str) else getattr(value, '__module__', '')
    return name == 'mmstadapter' or str(name).startswith('mmstadapter.')


def spread_fields(cfg: Any) -> None:
    """Write `steps` into their pipelines, and each field to the places that follow it, in place.

    Raises:
        ValueError: if a pipeline has no step of a name, or several.
    """
    for top in RUN:
        for path, part in _parts(cfg.get(top), top):
            if isinstance(part.get('steps'), dict) and isinstance(part.get('pipeline'), list):
                part['pipeline'] = _changed(part['pipeline'], part.pop('steps'), path)
    _spread_words(cfg)
    for name in FIELDS:
        field = field_of(cfg, name)
        if field is None:
            continue
        for _, part, key in places(cfg, name, cfg):
            if isinstance(part[key], Following) or part[key] == field:
                part[key] = following(field)
        if name in cfg:
            cfg[name] = following(field)  # until somebody sets it anew


def _spread_words(cfg: Any) -> None:
    """Give `WORDS` to the steps that take them and have none of their own."""
    for name, steps in WORDS.items():
        for top in LOADERS if cfg.get(name) else ():
            for _, part in _parts(cfg.get(top), top):
                is_one = str(part['type']).rpartition('.')[2] in steps
                if is_one and isinstance(part.get(name, FollowingWord()), FollowingWord):
                    part[name] = FollowingWord(cfg[name])


def _changed(pipeline: list[dict], changes: dict[str, dict], path: str) -> list[dict]:
    """A pipeline whose steps of some names have other settings."""
    names = [str(step['type']).rpartition('.')[2] for step in pipeline]
    if wrong := sorted(name for name in changes if names.count(name) != 1):
        raise ValueError(
            f'{path}.steps: the pipeline must have one step {", ".join(wrong)}, it has '
            f'{", ".join(names)}. Give the loader a new pipeline instead.'
        )
    both = zip(pipeline, names, strict=True)
    return [type(step)(step, **changes.get(name, {})) for step, name in both]


def field_of(cfg: Any, name: str) -> Any:
    """The value of a field, None if there is none.

    A field that was not set anew gives way to the value that all steps share: somebody has set
    these one by one, as one had to before there were fields.
    """
    given = cfg.get(name) if _is_value(name, cfg.get(name)) else None
    if given is not None and not isinstance(given, Following):
        return given
    found = list(places(cfg, name))
    steps = [part[key] for _, part, key in found if key == name]
    values = steps or [part[key] for _, part, key in found]
    return values[0] if values and all(value == values[0] for value in values) else given


def exceptions(cfg: Any, name: str) -> dict[str, Any]:
    """Where a config has another value than its field, by dotted name."""
    if not _is_value(name, cfg.get(name)):
        return {}
    found = ((path, part[key]) for path, part, key in places(cfg, name))
    return {path: value for path, value in found if value != cfg[name]}


def places(cfg: Any, name: str, within: Iterable[str] = RUN) -> Iterator[tuple[str, dict, str]]:
    """(dotted name, dict, key) of the values that a field stands for.

    Args:
        cfg: the config.
        name: the field.
        within: top-level names to look into; what runs, helpers left out, by default.
    """
    for top in within:
        key = MODEL_NAMES.get(name, name) if top == 'model' else name
        for path, part in _parts(cfg.get(top), top):
            if _is_value(name, part.get(key)):
                yield f'{path}.{key}', part, key


def _parts(value: Any, path: str) -> Iterator[tuple[str, dict]]:
    """(dotted name, dict) of everything with a type within a value."""
    if isinstance(value, dict):
        if 'type' in value:
            yield path, value
        items: Any = value.items()
    else:
        items = enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in items:
        yield from _parts(inner, f'{path}.{key}')


def _is_value(name: str, value: Any) -> bool:
    """Whether a field of this name can have such a value."""
    if name in CHOICES and isinstance(value, str):
        return True
    numbers = value if name in CHOICES and isinstance(value, list | tuple) else [value]
    return all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)


def choose_split(cfg: Config) -> None:
    """Write the config's ``split`` wherever an ``ann_file`` of its loaders says ``{split}``.

    A data set with several splits (UCF101, HMDB51) is then chosen by one field. Whoever builds
    a data set without a runner calls this first.
    """

    def fill(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get('ann_file'), str):
                value['ann_file'] = value['ann_file'].replace('{split}', str(cfg.split))
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                fill(item)

    if 'split' in cfg:
        fill([cfg.get(f'{kind}_dataloader') for kind in ('train', 'val', 'test')])
