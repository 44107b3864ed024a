"""Peak memory of each setting's training step, accounted on fake tensors: no GPU is needed.

    python benchmarks/gpu/accounting.py

Writes accounting.json beside this file, which `check_gpu.py` shows beside what it measures: on a
GPU the minute that this takes is better spent.
"""

import json
from pathlib import Path

import models
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from plain_form import PlainForm
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmstadapter.planning import account_of

FILE = Path(__file__).with_name('accounting.json')
FORMS = ('ours', 'plain', 'with_cp')


def key(setting: models.Setting, form: str) -> str:
    """What a figure is called."""
    return f'{setting.name}, {form}'


def peak(setting: models.Setting, form: str) -> float:
    """GB at the peak of a step on one card: no bucket of gradients."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = models.build(setting, 'cpu', fake=True, with_cp=form == 'with_cp')
        width = setting.options.get('side_dims') or model.trunk.embed_dims
        backbone = PlainForm(model) if form == 'plain' else model
        both = nn.ModuleList([backbone, nn.Linear(width, 174)])
        video = torch.empty(setting.clips, 3, models.NUM_FRAMES, 224, 224)
        labels = torch.zeros(setting.clips, dtype=torch.long)
        account = account_of(
            lambda: F.cross_entropy(both[1](both[0](video)).float(), labels),
            both,
            [video],
            autocast=torch.bfloat16,
            bucket=False,
        )
    return account.peak / 1e9


def main() -> None:
    """Account for every setting in every form."""
    init_default_scope('mmaction')
    found = {'torch': torch.__version__}
    for setting in models.SETTINGS:
        for form in FORMS:
            if form != 'plain' or setting.kind != 's4v-eva':
                found[key(setting, form)] = round(peak(setting, form), 3)
                print(key(setting, form), found[key(setting, form)], flush=True)
    FILE.write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    main()
