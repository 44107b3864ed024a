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

OPTIONS = dict(r=8, alpha=16, dropout=0.0, targets=None, dora=False)
WRAPPED = '.base_layer.'  # in peft's name of a layer's own tensors
ADDED = ('.lora_A.', '.lora_B.', '.lora_magnitude_vector.', '.lora_embedding_')


def insert(encoder: nn.Module, options: dict[str, Any]) -> None:
    """Put low-rank maps beside the linear maps of an encoder's blocks, and train them.

    W x + (alpha / r) B A x (Hu et al., LoRA, 2022), or with ``dora`` the same with a trained
    length for each output (Liu et al., DoRA, 2024). B starts at zero, so nothing changes at
    first.

    Args:
        encoder: a trunk or text tower, frozen as its ``tune`` says.
        options: ``r`` (rank), ``alpha``, ``dropout``, ``dora``, and ``targets``, the last parts
            of the layers' names, such as ``('in_proj', 'out_proj')``; ``None``: all.

    Raises:
        ImportError: without peft.
        ValueError: for unknown options or targets.
    """
    settings = _check(type(encoder).__name__, options)
    names = _choose(encoder, settings['targets'])
    tuned = {id(p) for p in encoder.parameters() if p.requires_grad}
    peft = import_peft()
    config = peft.LoraConfig(
        r=settings['r'],
        lora_alpha=settings['alpha'],
        lora_dropout=settings['dropout'],
        use_dora=settings['dora'],
        target_modules=names,
    )
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
    """Full names of the linear maps of the blocks whose names end with a target."""
    after = {id(p) for p in getattr(encoder, 'parameters_after_blocks', tuple)()}
    linear = [n for n, m in encoder.named_modules() if isinstance(m, nn.Linear)]
    linear = [n for n in linear if id(encoder.get_submodule(n).weight) not in after]
    last = {name: name.rpartition('.')[2] for name in linear}
    wanted = [targets] if isinstance(targets, str) else targets or sorted({*last.values()})
    unknown = [target for target in wanted if target not in last.values()]
    if unknown:
        fused = next((n for n in ('in_proj', 'qkv') if n in last.values()), None)
        raise ValueError(
            f'{type(encoder).__name__}: lora.targets must be among '
            f'{", ".join(sorted({*last.values()}))}, got {", ".join(unknown)}.'
            + (
                f' Queries, keys and values are one layer here, {fused}, and LoRA is beside all '
                f'three or none: take {fused}.'
                if fused and {*unknown} & {'q', 'k', 'v', 'q_proj', 'k_proj', 'v_proj'}
                else ''
            )
        )
    return [name for name in linear if last[name] in wanted]
