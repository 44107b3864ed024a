"""LoRA and DoRA inside a pretrained encoder, by the library peft, in the order that works.

peft freezes whatever else is trained, renames the layers it wraps and takes DoRA's lengths from
the weights of the moment. Here tuned parts stay tuned, state dicts keep the encoder's names
(`own_name`), and lengths are taken again when the pretrained file has been read.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from . import lora_parts

OPTIONS = dict(r=8, alpha=16, dropout=0.0, targets=None, dora=False)
WRAPPED = '.base_layer.'  # in peft's name of a layer's own tensors
ADDED = ('.lora_A.', '.lora_B.', '.lora_magnitude_vector.', '.lora_embedding_', 'low_rank.')


def insert(encoder: nn.Module, options: dict[str, Any]) -> None:
    """Put low-rank maps beside the linear maps of an encoder's blocks, and train them.

    W x + (alpha / r) B A x (Hu et al., LoRA, 2022), or with ``dora`` the same with a trained
    length for each output (Liu et al., DoRA, 2024). B starts at zero, so nothing changes at
    first.

    Args:
        encoder: a trunk or text tower, frozen as its ``tune`` says.
        options: ``r`` (rank), ``alpha``, ``dropout``, ``dora``, and ``targets``, the ends of the
            layers' names, such as ``('in_proj', 'out_proj')``; ``None``: all. ``'q'``, ``'k'``
            and ``'v'`` are known in every encoder, where they are one layer too.

    Raises:
        ImportError: without peft.
        ValueError: for unknown options or targets.
    """
    settings = _check(type(encoder).__name__, options)
    names = _choose(encoder, settings['targets'])
    tuned = {id(p) for p in encoder.parameters() if p.requires_grad}
    peft = import_peft()
    lora_parts.split(encoder, names)
    config = peft.LoraConfig(
        r=settings['r'],
        lora_alpha=settings['alpha'],
        lora_dropout=settings['dropout'],
        use_dora=settings['dora'],
        target_modules=names,
    )
    config._register_custom_module({lora_parts.Part: lora_parts.layer_of_a_part()})
    peft.inject_adapter_in_model(config, encoder)
    for name, parameter in encoder.named_parameters():
        if is_added(name):
            parameter.data = parameter.data.float()
        parameter.requires_grad_(is_added(name) or id(parameter) in tuned)


def own_name(name: str) -> str:
    """A tensor's name as if nothing were wrapped: 'x.base_layer.weight' -> 'x.weight'."""
    return name.replace(WRAPPED, '.')


def is_added(name: str) -> bool:
    """Whether a tensor was put in by LoRA rather than read from the pretrained file."""
    return any(part in name for part in ADDED)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's state dict without LoRA's tensors, under the names it has without LoRA."""
    return {own_name(n): t for n, t in module.state_dict().items() if not is_added(n)}


def keep_names(module: nn.Module, state_dict: dict, prefix: str, _: Any) -> None:
    """Hook of a state dict: the module's tensors under the names they have without LoRA."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[own_name(name)] = state_dict.pop(name)


def take_names(module: nn.Module, state_dict: dict, prefix: str) -> None:
    """The reverse of `keep_names`, before a state dict is loaded."""
    for name in (n for n, _ in module.named_parameters() if WRAPPED in n):
        if prefix + own_name(name) in state_dict:
            state_dict[prefix + name] = state_dict.pop(prefix + own_name(name))


@torch.no_grad()
def take_lengths(encoder: nn.Module) -> None:
    """Set DoRA's lengths to those of the weights as they are now."""
    for layer in encoder.modules():
        for name, vector in getattr(layer, 'lora_magnitude_vector', {}).items():
            parameter = vector.weight
            vector.update_layer(
                base_layer=layer.get_base_layer(),
                lora_A=layer.lora_A[name].weight,
                lora_B=layer.lora_B[name].weight,
                scaling=layer.scaling[name],
            )
            parameter.copy_(vector.weight)
            vector.weight = parameter  # the one that optimizers and the runner know


def dropouts(encoder: nn.Module) -> Iterator[nn.Module]:
    """LoRA's dropouts, which are the only part of a frozen encoder to know of training."""
    for layer in encoder.modules():
        yield from getattr(layer, 'lora_dropout', {}).values()


def import_peft() -> ModuleType:
    """The library, or an error that says how to install it."""
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            f'lora: peft is needed and cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[peft]', or leave out lora."
        ) from error
    return peft


def _check(who: str, options: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(options.keys() - OPTIONS.keys())
    settings: dict[str, Any] = OPTIONS | options
    if unknown:
        raise ValueError(f'{who}: lora takes {", ".join(OPTIONS)}, got {", ".join(unknown)}.')
    if not isinstance(settings['r'], int) or settings['r'] < 1:
        raise ValueError(f'{who}: lora.r must be a whole number from 1, got {settings["r"]!r}.')
    if not 0 <= settings['dropout'] < 1:
        raise ValueError(f'{who}: lora.dropout must be in [0, 1), got {settings["dropout"]}.')
    return settings


def _choose(encoder: nn.Module, targets: str | Sequence[str] | None) -> list[str]:
    """Full names of the linear maps of the blocks, or thirds of them, that end with a target."""
    linear = _linear_maps(encoder)
    if targets is None:
        return linear
    fused = [name for name in linear if lora_parts.is_fused(name, encoder.get_submodule(name))]
    known = linear + [f'{name}.{part}' for name in fused for part in lora_parts.PARTS]
    wanted = [targets] if isinstance(targets, str) else list(targets)
    unknown = [target for target in wanted if not any(_ends(name, target) for name in known)]
    if unknown or not wanted:
        raise ValueError(
            f'{type(encoder).__name__}: lora.targets must be among '
            f'{", ".join(sorted({_last(name) for name in known}))}, got '
            f'{", ".join(map(str, unknown)) or "none"}.'
        )
    chosen = [name for name in known if any(_ends(name, target) for target in wanted)]
    twice = [name for name in chosen if name.rpartition('.')[0] in chosen]
    if twice:
        raise ValueError(
            f'{type(encoder).__name__}: lora.targets must name a layer or parts of it, got both '
            f'{_last(twice[0].rpartition(".")[0])} and {_last(twice[0])}, which is a third of it.'
        )
    return chosen


def _linear_maps(encoder: nn.Module) -> list[str]:
    """Full names of the linear maps of the blocks."""
    after = {id(p) for p in getattr(encoder, 'parameters_after_blocks', tuple)()}
    named = ((n, m) for n, m in encoder.named_modules() if isinstance(m, nn.Linear))
    return [name for name, layer in named if id(layer.weight) not in after]


def _ends(name: str, target: str) -> bool:
    """Whether a layer's name ends with a target, q and q_proj being one word."""
    return f'.{_short(name)}'.endswith(f'.{_short(str(target))}')


def _short(name: str) -> str:
    """'x.attn.q_proj' -> 'x.attn.q'."""
    before, dot, last = name.rpartition('.')
    return before + dot + (last[0] if last in ('q_proj', 'k_proj', 'v_proj') else last)


def _last(name: str) -> str:
    return name.rpartition('.')[2]
