"""The hooks that keep the package's promises, whatever list of hooks a config has."""

from collections.abc import Mapping
from typing import Any

from .keys import Walk

# Name in default_hooks -> type. `None` there turns one off.
OURS = dict(
    tuned_checkpoint='mmstadapter.TunedCheckpointHook',
    bad_videos='mmstadapter.BadVideoHook',
    epoch_seed='mmstadapter.EpochSeedHook',
    finite_loss='mmstadapter.FiniteLossHook',
    freeze_report='mmstadapter.FreezeReportHook',
    heartbeat='mmstadapter.HeartbeatHook',
)


def complete_hooks(cfg: Any) -> list[str]:
    """Add what is missing of our hooks to ``default_hooks``; the names of those turned off.

    A child's ``custom_hooks = [...]`` replaces an inherited list, ``default_hooks`` merge by
    name. A hook that the config lists anywhere, with whatever options, is left as it is.
    """
    walk = Walk(cfg.get('default_scope') or 'mmengine')
    default = dict(cfg.get('default_hooks') or {})
    listed = [*default.values(), *(cfg.get('custom_hooks') or ())]
    kinds = [_kind(hook, walk) for hook in listed]
    off = [name for name in OURS if name in default and default[name] is None]
    for name in off:
        del default[name]  # which the host refuses for names that it does not know
    for name, kind in OURS.items():
        wanted = walk.find(kind, 'HOOKS')
        if name not in off and not any(
            isinstance(k, type) and issubclass(k, wanted) for k in kinds
        ):
            default[name] = dict(type=kind)
    cfg['default_hooks'] = default
    return off


def _kind(hook: Any, walk: Walk) -> Any:
    return walk.find(hook.get('type'), 'HOOKS') if isinstance(hook, Mapping) else type(hook)
