"""LoRA in peft's own files: ``adapter_config.json`` and ``adapter_model.safetensors`` in a folder.

What is written goes into the same model without ``lora`` by peft's ``PeftModel.from_pretrained``,
and what peft wrote of such a model is read back. Queries and values alone, which peft cannot
name in a fused layer, are written as LoRA beside all of it: with B zero for the keys, and as many
times the rank as there are parts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import weights
from ..weights.containers import read_safetensors
from .lora import OPTIONS, import_peft, is_added
from .lora_folding import encoders_with_lora, lora_layers
from .lora_parts import PARTS, ThreeParts
from .lora_settings import CONFIG, Settings, read_settings
from .pretrained import Pretrained

TENSORS = 'adapter_model.safetensors'
PREFIX = 'base_model.model.'  # of every name in such a file
KINDS = ('lora_A.weight', 'lora_B.weight', 'lora_magnitude_vector')


def save_peft(model: nn.Module, folder: str | Path) -> None:
    """Write what was trained of a model into a folder, as peft's ``save_pretrained`` does.

    Args:
        model: an encoder with ``lora``, or a model with such encoders; of a model, whole parts
            beside its backbone that are trained too (``cls_head``) are written as peft's
            ``modules_to_save``.
        folder: made if it is not there.

    Raises:
        ValueError: without LoRA, or if something else is trained inside the backbone or an
            encoder, which such a file has no place for; if encoders differ in DoRA or dropout.
    """
    found, folder = _Found(model), Path(folder)
    tensors = {PREFIX + name: t.detach().contiguous() for name, t in found.tensors().items()}
    weights.require_numbers(tensors, folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights.save_lazily(tensors, folder / TENSORS, dict(format='pt'))
    (folder / CONFIG).write_text(json.dumps(found.config(), indent=2, sort_keys=True) + '\n')


@torch.no_grad()
def load_peft(model: nn.Module, folder: str | Path) -> None:
    """Fill a model with ``lora`` from a folder of peft's; executes nothing of it.

    Pretrained files are read first. Names, ranks and scalings must be those of the model.

    Args:
        model: see `save_peft`.
        folder: what `save_peft` or peft wrote.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: for settings that are not LoRA's or DoRA's, or are not the model's.
        RuntimeError: for other names or sizes, all of which are named.
    """
    folder = Path(folder)
    settings, given = read_settings(folder / CONFIG), read_peft_tensors(folder)
    for encoder in encoders_with_lora(model).values():
        encoder.init_weights()
    found = _Found(model)
    expected = found.tensors()
    _check_names(given, expected, folder)
    found.check_scalings(given, settings)
    for name, layer in found.layers.items():
        _fill(name, layer, given, folder)
    for name, tensor in found.rest.items():
        tensor.copy_(given[name])


def read_peft_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder under the model's names.

    Raises:
        FileNotFoundError: if there is no file of tensors.
        ValueError: if it is no safetensors file, or its tensors are not numbers or not peft's.
    """
    file = folder / TENSORS
    if not file.is_file():
        raise FileNotFoundError(
            f'{folder} has no {TENSORS}. Save with safe_serialization=True; pickled files of peft '
            'are not read.'
        )
    tensors, _ = read_safetensors(file)
    weights.require_numbers(tensors, file)
    foreign = [name for name in tensors if not name.startswith(PREFIX)]
    if foreign or not tensors:
        raise ValueError(
            f'{file}: names must begin with {PREFIX!r}, as peft writes them, got '
            f'{", ".join(foreign[:3]) or "none at all"}.'
        )
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


class _Found:
    """What of a model a folder of peft's holds.

    Attributes:
        layers: the wrapped layers, by the names that they have without LoRA.
        rest: other trained tensors, and the buffers beside them, by name.
        modules: the parts of the model that those are in.
    """

    def __init__(self, model: nn.Module) -> None:
        self.encoders = encoders_with_lora(model)
        if not self.encoders:
            raise ValueError(f"peft's files hold LoRA, which {type(model).__name__} does not have.")
        self.layers = {
            f'{name}.{layer}' if name else layer: module
            for name, encoder in self.encoders.items()
            for layer, module in _wrapped(encoder).items()
        }
        trained = [n for n, p in model.named_parameters() if p.requires_grad and not is_added(n)]
        self.modules = sorted({name.partition('.')[0] for name in trained})
        self._check_rest(model, trained)
        state = model.state_dict()
        inside = tuple(f'{module}.' for module in self.modules)
        self.rest = {n: t for n, t in state.items() if n.startswith(inside)} if inside else {}

    def _check_rest(self, model: nn.Module, trained: list[str]) -> None:
        """Raise unless what else is trained lies in whole parts of the model without encoders."""
        parts = dict(model.named_children())
        homes = {n for n, m in parts.items() if not _has_encoder(m) and n != 'backbone'}
        homeless = [name for name in trained if name.partition('.')[0] not in homes]
        if homeless or (isinstance(model, Pretrained) and trained):
            raise ValueError(
                "peft's files hold LoRA and whole parts beside the backbone, but "
                f'{", ".join((homeless or trained)[:3])} (of {len(homeless or trained)}) is '
                'trained too. Take an adapter file (`mmstadapter publish`), which holds everything.'
            )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under peft's names without their prefix."""
        made = {
            f'{name}.{kind}': tensor
            for name, layer in self.layers.items()
            for kind, tensor in zip(KINDS, _joined(layer), strict=False)
        }
        return made | self.rest

    def settings(self) -> dict[str, tuple[int, float]]:
        """Rank and alpha of every layer, by name."""
        found = {}
        for name, encoder in self.encoders.items():
            options = OPTIONS | encoder.lora
            for layer, module in _wrapped(encoder).items():
                full, n = f'{name}.{layer}' if name else layer, _times(module)
                found[full] = n * options['r'], n * options['alpha']
        return found

    def config(self) -> dict[str, Any]:
        """What ``adapter_config.json`` holds."""
        options = [OPTIONS | encoder.lora for encoder in self.encoders.values()]
        shared = [(o['dora'], o['dropout']) for o in options]
        if len({*shared}) > 1:
            raise ValueError(
                "peft's files have one setting of dora and dropout for all encoders, got "
                f'{", ".join(map(str, shared))}.'
            )
        settings = self.settings()
        r, alpha = next(iter(settings.values()))
        made = import_peft().LoraConfig(
            r=r,
            lora_alpha=alpha,
            use_dora=shared[0][0],
            lora_dropout=shared[0][1],
            target_modules=list(settings),
            rank_pattern={n: rank for n, (rank, _) in settings.items() if rank != r},
            alpha_pattern={n: value for n, (_, value) in settings.items() if value != alpha},
            modules_to_save=self.modules or None,
            inference_mode=True,
        )
        whole = made.to_dict()
        return {key: sorted(v) if isinstance(v, set) else v for key, v in whole.items()}

    def check_scalings(self, given: Mapping[str, Tensor], settings: Settings) -> None:
        """Raise unless a folder's settings give every layer the model's scaling."""
        for name, (rank, alpha) in self.settings().items():
            theirs = settings.alpha_of(name) / len(given[f'{name}.lora_A.weight'])
            if abs(theirs * rank / alpha - 1) > 1e-6:
                raise ValueError(
                    f'{settings.file}: LoRA is scaled by {theirs:g} at {name}, by {alpha / rank:g} '
                    "in the model. Set lora.alpha so that alpha / r is the file's."
                )


def _has_encoder(module: nn.Module) -> bool:
    return any(isinstance(part, Pretrained) for part in module.modules())


def _wrapped(encoder: nn.Module) -> dict[str, nn.Module]:
    """Wrapped layers by name, a fused one whole."""
    named = lora_layers(encoder)
    fused = {n: m for n, m in encoder.named_modules() if isinstance(m, ThreeParts)}
    whole = {n: m for n, m in named.items() if n.rpartition('.')[0] not in fused}
    return whole | fused


def _inner(layer: nn.Module) -> dict[int, nn.Module]:
    """The wrapped thirds of a fused layer, by their place."""
    parts = enumerate(getattr(layer, part) for part in PARTS)
    return {i: part for i, part in parts if hasattr(part, 'lora_A')}


def _times(layer: nn.Module) -> int:
    """How often the rank a layer has it in peft's file."""
    return len(_inner(layer)) if isinstance(layer, ThreeParts) else 1


def _matrices(layer: nn.Module) -> tuple[Tensor, ...]:
    """A (r, in), B (out, r) and DoRA's lengths (out,) of one wrapped layer."""
    (adapter,) = layer.lora_A
    lengths = [vector.weight for vector in layer.lora_magnitude_vector.values()]
    return layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, *lengths


def _joined(layer: nn.Module) -> tuple[Tensor, ...]:
    """The same of any layer; of a fused one with n wrapped thirds (n·r, D), (3·D, n·r), (3·D,)."""
    if not isinstance(layer, ThreeParts):
        return _matrices(layer)
    inner = {i: _matrices(part) for i, part in _inner(layer).items()}
    a = torch.cat([matrices[0] for matrices in inner.values()])
    rows, rank = next(iter(inner.values()))[1].shape
    b = a.new_zeros(len(PARTS) * rows, len(a))
    for column, (i, matrices) in enumerate(inner.items()):
        b[i * rows : (i + 1) * rows, column * rank : (column + 1) * rank] = matrices[1]
    lengths = layer.base_layer.weight.detach().float().norm(dim=1)
    for i, (_, _, *own) in inner.items():
        if not own:
            return a, b
        lengths[i * rows : (i + 1) * rows] = own[0]
    return a, b, lengths


def _fill(name: str, layer: nn.Module, given: Mapping[str, Tensor], folder: Path) -> None:
    """Put a folder's tensors into one layer."""
    theirs = [given[f'{name}.{kind}'] for kind in KINDS if f'{name}.{kind}' in given]
    if not isinstance(layer, ThreeParts):
        for own, tensor in zip(_matrices(layer), theirs, strict=True):
            own.copy_(tensor)
        return
    for column, (i, part) in enumerate(_inner(layer).items()):
        a, b, *lengths = _matrices(part)
        rank, rows = len(a), slice(i * len(b), (i + 1) * len(b))
        columns = slice(column * rank, (column + 1) * rank)
        a.copy_(theirs[0][columns])
        b.copy_(theirs[1][rows, columns])
        for own, tensor in zip(lengths, theirs[2:], strict=True):
            own.copy_(tensor[rows])
    made = _joined(layer)
    if not all(torch.allclose(m, t.to(m), rtol=1e-5) for m, t in zip(made, theirs, strict=True)):
        raise ValueError(
            f'{folder}: LoRA at {name} is beside more than {", ".join(layer_parts(layer))}, which '
            "the model's lora.targets name. Take the whole layer as target."
        )


def layer_parts(layer: nn.Module) -> list[str]:
    """Names of the wrapped thirds of a fused layer."""
    return [PARTS[i] for i in _inner(layer)]


def _check_names(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path) -> None:
    """Raise RuntimeError with all names and sizes of a folder that are not the model's."""
    missing, surplus = (
        sorted(expected.keys() - given.keys()),
        sorted(given.keys() - expected.keys()),
    )
    if missing or surplus:
        raise RuntimeError(
            f'{folder}: not of this model: it lacks {", ".join(missing[:4]) or "nothing"} (of '
            f'{len(missing)}) and has {", ".join(surplus[:4]) or "nothing"} (of {len(surplus)}) '
            "besides. The model's lora.targets and lora.dora must be those it was trained with."
        )
    shapes = [(n, tuple(given[n].shape), tuple(expected[n].shape)) for n in sorted(expected)]
    wrong = [f'{n}: file {theirs}, model {ours}' for n, theirs, ours in shapes if theirs != ours]
    if wrong:
        raise RuntimeError(
            f'{folder}: other sizes than the model ({len(wrong)} tensors): '
            f'{"; ".join(wrong[:4])}. Set lora.r to the rank it was trained with.'
        )
