"""Metrics that a hook waits for and no evaluator gives, found before training instead of after."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmaction.evaluation import AccMetric
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.hooks import CheckpointHook

from .. import shipped
from ..evaluation.feature_metrics import DSL
from ..evaluation.multi_task import MultiTaskMetric
from ..evaluation.recall import CUTOFFS, retrieval_metrics
from ..evaluation.text_video_metric import TextVideoMetric
from .keys import Walk

COUNTED = 'bad_videos'  # which BadVideoHook puts beside the metrics


def lacking_metrics(cfg: Mapping) -> Iterator[str]:
    """A sentence for each metric that a hook names and validation does not give."""
    if cfg.get('val_evaluator') is None or cfg.get('train_cfg') is None:
        return
    names = metric_names(cfg['val_evaluator'], Walk(cfg.get('default_scope') or 'mmengine'))
    if names is None:
        return
    for path, name, rule in _awaited(cfg):
        if name == 'auto':
            yield from _first(path, names, rule)
        elif name not in (*names, COUNTED):
            yield f'{path}: val_evaluator gives no metric {name!r}. {shipped.closest(name, names)}'


def _awaited(cfg: Mapping) -> Iterator[tuple[str, str, Any]]:
    """(dotted name, metric, rule) of all hooks."""
    hooks = [(f'default_hooks.{k}', h) for k, h in (cfg.get('default_hooks') or {}).items()]
    hooks += [(f'custom_hooks.{i}', h) for i, h in enumerate(cfg.get('custom_hooks') or ())]
    for path, hook in hooks:
        for key in ('save_best', 'monitor') if isinstance(hook, Mapping) else ():
            found = hook.get(key) or ()
            for name in [found] if isinstance(found, str) else found:
                yield f'{path}.{key}', name, hook.get('rule')


def _first(path: str, names: list[str], rule: Any) -> Iterator[str]:
    """Whether the host can tell which way the first metric is better."""
    try:
        CheckpointHook(save_best=names[0], rule=rule)
    except (KeyError, ValueError):
        yield (
            f"{path}: 'auto' takes the first metric, {names[0]!r}, of which MMEngine does not know "
            f"which way is better. Add rule='greater' or 'less' and name it, or set {path}=None."
        )


def metric_names(evaluator: Any, walk: Walk) -> list[str] | None:
    """Names of what an evaluator's config gives, in order; None where that is not known."""
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator and 'tasks' not in evaluator:
        evaluator = evaluator['metrics']
    names: list[str] = []
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        found = _names_of(metric, walk)
        if found is None:
            return None
        names += found
    return names or None


def _names_of(metric: Any, walk: Walk) -> list[str] | None:
    kind: Any = walk.find(metric.get('type'), 'METRICS') if isinstance(metric, Mapping) else None
    if not isinstance(kind, type) or not issubclass(kind, BaseMetric):
        return None
    if issubclass(kind, MultiTaskMetric):
        tasks = {task: _names_of(own, walk) for task, own in metric.get('tasks', {}).items()}
        known = None not in tasks.values()
        return [f'{task}/{n}' for task, own in tasks.items() for n in own or ()] if known else None
    bare = _bare_names(kind, metric)
    prefix = metric.get('prefix') or getattr(kind, 'default_prefix', None)
    return [f'{prefix}/{name}' if prefix else name for name in bare] if bare is not None else None


def _bare_names(kind: type[BaseMetric], metric: Mapping) -> list[str] | None:
    if issubclass(kind, DumpResults):
        return []
    if issubclass(kind, AccMetric):
        return list(_accuracies(metric))
    if not issubclass(kind, TextVideoMetric):
        return None
    options = dict(
        cutoffs=metric.get('cutoffs', CUTOFFS), bootstrap=2 if metric.get('bootstrap') else 0
    )
    names = list(retrieval_metrics(torch.eye(2), **options))
    return names + [DSL + name for name in names] * bool(metric.get('dsl'))


def _accuracies(metric: Mapping) -> Iterator[str]:
    """Names that MMAction2's AccMetric gives."""
    kinds: str | Sequence = metric.get('metric_list', ('top_k_accuracy', 'mean_class_accuracy'))
    options = metric.get('metric_options') or {}
    topk = (options.get('top_k_accuracy') or {}).get('topk', (1, 5))
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == 'top_k_accuracy':
            yield from (f'top{k}' for k in ([topk] if isinstance(topk, int) else topk))
        else:
            yield {'mean_class_accuracy': 'mean1'}.get(kind, kind)
