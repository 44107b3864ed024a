"""Which parts of a config make an index's features, and in what two of them differ."""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

# What changes no feature, or only says where the same weights lie.
IRRELEVANT = {
    *('checkpoint', 'init_cfg', 'dtype', 'tune', 'frames_per_pass', '_scope_'),
    *('recompute', 'with_cp'),
    *('loss', 'gather', 'micro_batch'),
}


def what_counts(whole: Config, name: str) -> dict[str, Any]:
    """The model and the test pipeline as plain JSON, with whole paths."""
    loader = whole.get('test_dataloader') or whole.get('val_dataloader')
    try:
        kept = dict(
            model=whole.model.to_dict(),
            test_dataloader=dict(dataset=dict(pipeline=loader.to_dict()['dataset']['pipeline'])),
            test_cfg=dict(fp16=bool((whole.get('test_cfg') or {}).get('fp16'))),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{name}: its config lacks {error}; an index needs the model and the pipeline of the '
            'test loader of a retrieval config.'
        ) from error
    return json.loads(json.dumps(_with_whole_paths(kept)))


def _with_whole_paths(value: Any) -> Any:
    """Plain lists and dicts, in which checkpoints that are files have their whole path."""
    if isinstance(value, dict):
        return {
            key: _whole(x) if key == 'checkpoint' else _with_whole_paths(x)
            for key, x in value.items()
        }
    return [_with_whole_paths(x) for x in value] if isinstance(value, list | tuple) else value


def _whole(checkpoint: str | Path | None) -> str | None:
    if checkpoint is None:
        return None
    # Not what a link leads to: beside the link lie the configs that say which model it is.
    return str(Path(checkpoint).absolute() if Path(checkpoint).exists() else checkpoint)


def differences(stored: dict, own: dict) -> list[str]:
    """ "path: one in the index, another here" for everything that changes features."""
    return _differences(_relevant(stored), _relevant(own), '')


def _relevant(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _relevant(inner) for k, inner in value.items() if k not in IRRELEVANT}
    return [_relevant(inner) for inner in value] if isinstance(value, list) else value


def _differences(stored: Any, own: Any, where: str) -> list[str]:
    if isinstance(stored, dict) and isinstance(own, dict):
        return [
            line
            for key in sorted({*stored, *own})
            for line in _differences(stored.get(key), own.get(key), f'{where}.{key}'.strip('.'))
        ]
    if isinstance(stored, list) and isinstance(own, list) and len(stored) == len(own):
        pairs = enumerate(zip(stored, own, strict=True))
        return [line for n, pair in pairs for line in _differences(*pair, f'{where}[{n}]')]
    return [] if stored == own else [f'{where}: {stored!r} in the index, {own!r} here']
