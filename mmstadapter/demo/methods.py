"""The rows of the leaderboard: shipped configs, found by being there, with some fields changed."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from mmstadapter_cli import load

BACKBONE, KERNEL = 'model.backbone.type', 'model.backbone.kernel_size'
TUNE = 'model.backbone.trunk.tune'
# Pretrained tensors that are tuned take a quarter of the rate of new ones: 5e-4 and 2e-3.
TUNED_TRUNK = {
    'optim_wrapper.optimizer.lr': 2e-3,
    'optim_wrapper.paramwise_cfg.custom_keys': {'backbone.trunk': dict(lr_mult=0.25)},
}
NEW_LAYERS = {'optim_wrapper.optimizer.lr': 2e-3}
KINDS = ('motion', 'captions')  # of configs; other tasks change fields of the first
NAME = re.compile(r'(.+)_vit-tiny(-\S+)?_demo-(motion|captions)\.py')


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        label: the row's name.
        config: name of a shipped config of the motion task, or of the captions.
        options: changed fields, as for ``Config.merge_from_dict``.
        is_trained: false for a row that takes the image model as it is.
    """

    label: str
    config: str
    options: dict = field(default_factory=dict)
    is_trained: bool = True


# Where the first words of a config's header are no name for a row.
LABELS = {
    'zeroshot': 'Image model as it is',
    'clip4clip-frozen': 'Frozen frames, trained text',
    'linear': 'Linear probe',
    'stadapter': 'ST-Adapter, kernel 3 x 1 x 1',
}
SEVERAL = ('sweep',)  # methods at once, none of which is a row
UNTRAINED = ('zeroshot',)


def _kernel(sizes: tuple[int, int, int]) -> tuple[str, str, dict]:
    return 'stadapter', 'ST-Adapter, kernel ' + ' x '.join(map(str, sizes)), {KERNEL: sizes}


# Rows that are another's config with some fields changed: (row, label, changes).
VARIANTS: dict[str, dict[str, tuple[str, str, dict]]] = {
    'motion': {
        'stadapter-111': _kernel((1, 1, 1)),
        'stadapter-133': _kernel((1, 3, 3)),
        'stadapter-333': _kernel((3, 3, 3)),
        'full': ('linear', 'Full fine-tuning, SA', {TUNE: 'all'} | TUNED_TRUNK),
        'timesformer': (
            'linear',
            'Full fine-tuning, SA + TA',
            {BACKBONE: 'mmstadapter.TimeSformerViT', TUNE: 'all'} | TUNED_TRUNK,
        ),
        'xvit': (
            'linear',
            'Full fine-tuning, SA + TS',
            {BACKBONE: 'mmstadapter.XViT', TUNE: 'all'} | TUNED_TRUNK,
        ),
        'temporal': (
            'linear',
            'Temporal fine-tuning',
            {BACKBONE: 'mmstadapter.TimeSformerViT'} | NEW_LAYERS,
        ),
        'partial': ('linear', 'Partial fine-tuning', {TUNE: 'last_1'} | TUNED_TRUNK),
        'prompt': (
            'linear',
            'Prompt tuning, 16 a block',
            {BACKBONE: 'mmstadapter.PromptViT', 'model.backbone.num_prompts': 16} | NEW_LAYERS,
        ),
        'attnpool': (
            'linear',
            'Attentional pooling',
            {BACKBONE: 'mmstadapter.AttnPoolViT'} | NEW_LAYERS,
        ),
        'bitfit': ('linear', 'BitFit', {TUNE: 'bias'} | NEW_LAYERS),
        'dora': ('lora', 'DoRA', {'model.backbone.trunk.lora.dora': True}),
    },
    'captions': {
        'stadapter-plain': (
            'stadapter',
            'ST-Adapter, no text negatives',
            {'model.loss.text_negatives': 0.0},
        ),
        'dora': (
            'lora',
            'DoRA in both towers',
            {'model.backbone.trunk.lora.dora': True, 'model.text_tower.lora.dora': True},
        ),
    },
}


def methods(kind: str) -> dict[str, Method]:
    """All rows of a kind of task: a tiny config each, and the variants.

    Args:
        kind: ``'motion'`` or ``'captions'``.
    """
    shipped, found = load('shipped'), {}
    for config in shipped.configs():
        match = NAME.fullmatch(config)
        if match and match[3] == kind and match[1] not in SEVERAL:
            name = match[1] + (match[2] or '')
            label = label_of(name, shipped.config(config))
            found[name] = Method(label, config, is_trained=name not in UNTRAINED)
    for name, (base, label, options) in VARIANTS[kind].items():
        found[name] = Method(label, found[base].config, options)
    return found


def label_of(name: str, config: Path) -> str:
    """A row's label: the header's words before the image model's name."""
    header = ast.get_docstring(ast.parse(config.read_text(encoding='utf-8'))) or name
    return LABELS.get(name, re.split(r', tiny CLIP| and the text tower', header)[0])
