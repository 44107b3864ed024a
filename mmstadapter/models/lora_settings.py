"""The settings in peft's ``adapter_config.json``, as far as they are LoRA's and DoRA's."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .lora import import_peft

CONFIG, A = 'adapter_config.json', '.lora_A.weight'
# What may have any value: it chooses layers, which the tensors' names say, or notes an origin.
FREE = {
    'alpha_pattern',
    'auto_mapping',
    'base_model_name_or_path',
    'exclude_modules',
    'inference_mode',
    'layers_pattern',
    'layers_to_transform',
    'lora_alpha',
    'lora_dropout',
    'modules_to_save',
    'peft_type',
    'peft_version',
    'r',
    'rank_pattern',
    'revision',
    'target_modules',
    'task_type',
    'use_dora',
}
STARTS = (True, False, 'gaussian')  # of init_lora_weights, which leave the layer itself as it is


@dataclass
class Settings:
    """What a folder says beside its tensors."""

    file: Path
    alpha: float
    alphas: dict[str, float]
    dropout: float
    dora: bool

    def alpha_of(self, layer: str) -> float:
        """Alpha at a layer: peft's patterns name it by the end of its name."""
        ends = (value for key, value in self.alphas.items() if f'.{layer}'.endswith(f'.{key}'))
        return next(ends, self.alpha)

    def options(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """The ``lora`` of an encoder with these tensors; empty if they are none of LoRA's.

        Raises:
            ValueError: if ranks or alphas of its layers differ.
        """
        layers = {n.removesuffix(A): len(t) for n, t in tensors.items() if n.endswith(A)}
        kinds = {(rank, self.alpha_of(layer)) for layer, rank in layers.items()}
        if len(kinds) > 1:
            raise ValueError(
                f'{self.file}: its layers have several ranks and alphas, {sorted(kinds)}. Set lora '
                'in the config, which has one of each for all layers of an encoder.'
            )
        made = [
            dict(r=r, alpha=alpha, dropout=self.dropout, dora=self.dora, targets=sorted(layers))
            for r, alpha in kinds
        ]
        return made[0] if made else {}


def read_settings(file: Path) -> Settings:
    """Read ``adapter_config.json``; executes nothing.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is damaged, not of LoRA, or has settings that change what is computed.
    """
    if not file.is_file():
        raise FileNotFoundError(f'{file.parent} has no {file.name}, so it is no folder of peft.')
    try:
        given = json.loads(file.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{file} is damaged: {error}.') from None
    if not isinstance(given, dict) or given.get('peft_type') != 'LORA':
        kind = given.get('peft_type') if isinstance(given, dict) else given
        raise ValueError(f'{file}: peft_type must be LORA, got {kind!r}.')
    _check_others(file, given)
    alphas = given.get('alpha_pattern') or {}
    numbers = [given.get('lora_alpha'), given.get('lora_dropout', 0.0), *alphas.values()]
    if not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f'{file}: lora_alpha, lora_dropout and alpha_pattern must be numbers.')
    if any(re.search(r'[^\w.]', key) for key in alphas):
        raise ValueError(f'{file}: alpha_pattern must name layers, not patterns: {list(alphas)}.')
    dora = given.get('use_dora') is True
    return Settings(file, given['lora_alpha'], alphas, given.get('lora_dropout', 0.0), dora)


def _check_others(file: Path, given: dict[str, Any]) -> None:
    """Raise for a setting that makes something else than LoRA or DoRA of a layer."""
    usual = import_peft().LoraConfig().to_dict()
    wrong = [
        f'{key}={value!r}'
        for key, value in given.items()
        if key not in FREE and not (value == usual.get(key) or not value)
        if not (key == 'init_lora_weights' and value in STARTS)
    ]
    if wrong:
        raise ValueError(
            f'{file}: {", ".join(wrong)}: only LoRA and DoRA beside linear maps are read. Convert '
            'it with peft first, or train without.'
        )
