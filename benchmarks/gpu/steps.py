"""Training steps at the papers' settings: memory, time, share of the roofline."""

import json
import statistics

import accounting
import models
import torch
import torch.nn.functional as F
from harness import Budget, Machine, Report, clear
from plain_form import PlainForm, PlainTrunk
from torch import nn

SECONDS = {'vit-b-p16': 9, 'vit-l-p14': 16, 'eva-e-p14': 45}  # about, for all forms of a setting


def steps(report: Report, budget: Budget, machine: Machine) -> None:
    """bfloat16 autocast, trunk stored in bfloat16, AdamW; 5 steps to warm up, median of 10.

    `trunk` is the plain frozen trunk's forward pass in the same run, `plain` the model in stock
    operators (see plain_form.py); shares are of the measured bf16 matrix product. Memory is the
    peak of a step in the steady state beside the accounting on fake tensors.
    """
    accounted = json.loads(accounting.FILE.read_text())
    settings = list(models.SETTINGS)
    if machine.quick:
        settings = [quick(s) for s in settings if s.arch == 'vit-b-p16']
    base, arch = float('nan'), None
    for setting in settings:
        need = 1 if machine.quick else SECONDS[setting.arch]
        if not budget.allows(report, setting.name, need):
            continue
        if setting.kind == 's4v-eva':
            base = float('nan')  # no plain form of this trunk
        elif setting.arch != arch:
            with report.guard('trunk'):
                base = trunk_seconds(report, machine, setting)
        arch = setting.arch
        times: dict[str, float] = {}
        for form in accounting.FORMS:
            if form == 'plain' and setting.kind == 's4v-eva':
                continue
            if not budget.allows(report, f'{setting.name}, {form}', need / 3):
                break
            with report.guard(f'{setting.name}, {form}'):
                measure(report, machine, setting, form, base, times, accounted)
        if {'ours', 'plain'} <= times.keys():
            report.row(
                f'{setting.name}: ratio to plain',
                ours=times['ours'] / times['plain'],
                with_cp=times.get('with_cp', float('nan')) / times['plain'],
            )


def quick(setting: models.Setting) -> models.Setting:
    """The same at toy size."""
    options = dict(setting.options)
    if 'side_dims' in options:
        options['side_dims'] = 64
    return models.Setting(setting.name, models.TOY, 2, setting.kind, options, setting.gmac)


def trunk_seconds(report: Report, machine: Machine, setting: models.Setting) -> float:
    """Median seconds of the plain frozen trunk on a step's frames."""
    model = PlainTrunk(models.build(setting, machine.device))
    video = clips(machine, setting)

    def step():
        with machine.autocast(torch.bfloat16):
            model(video)

    seconds = machine.time(step)
    report.row(
        f'plain trunk of {setting.arch if isinstance(setting.arch, str) else "toy"}, forward',
        ms=1e3 * seconds,
        clips_s=setting.clips / seconds,
        peak_gb=machine.peaks()[0],
    )
    return seconds


def clips(machine: Machine, setting: models.Setting) -> torch.Tensor:
    """Random pixels of a step, (B, 3, T, H, W)."""
    side = 32 if machine.quick else 224
    return torch.randn(setting.clips, 3, models.NUM_FRAMES, side, side, device=machine.device)


class Step:
    """A training step of a setting in a form.

    Attributes:
        model: the backbone, or its plain form.
        given: what it is called on.
    """

    def __init__(self, machine: Machine, setting: models.Setting, form: str, **more) -> None:
        self.machine = machine
        own = models.build(setting, machine.device, with_cp=form == 'with_cp', **more)
        width = setting.options.get('side_dims') or own.trunk.embed_dims
        self.head = nn.Linear(width, 174, device=machine.device)
        self.model = PlainForm(own) if form == 'plain' else own
        tuned = [p for p in own.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW([*tuned, *self.head.parameters()], lr=1e-5)
        self.video = clips(machine, setting)
        self.labels = torch.arange(setting.clips, device=machine.device) % 174

    def __call__(self) -> None:
        with self.machine.autocast(torch.bfloat16):
            loss = F.cross_entropy(self.head(self.model(self.video)).float(), self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def forward_only(self) -> None:
        with torch.inference_mode(), self.machine.autocast(torch.bfloat16):
            self.head(self.model(self.video))


def measure(report, machine, setting, form, base, times, accounted) -> None:
    """One row: time, memory, shares."""
    step = Step(machine, setting, form)
    repeats = (5, 10) if not machine.quick else (1, 2)
    found = machine.times(step, *repeats)
    seconds = statistics.median(found)
    allocated, reserved = machine.peaks()
    step.model.eval()
    clear()
    forward = machine.time(step.forward_only, 2, 5)
    times[form] = seconds
    flops = 2e9 * setting.clips * sum(setting.gmac)
    predicted = accounted.get(accounting.key(setting, form), float('nan'))
    if machine.quick:
        predicted = flops = float('nan')
    report.row(
        f'{setting.name}, {setting.clips}x8, {form}',
        ms=1e3 * seconds,
        spread=(max(found) - min(found)) / seconds,
        clips_s=setting.clips / seconds,
        x_trunk=seconds / base,
        forward_ms=1e3 * forward,
        share=flops / seconds / 1e12 / machine.matmul_tflops,
        peak_gb=allocated,
        reserved_gb=reserved,
        accounted_gb=predicted,
        error_pct=100 * (predicted / allocated - 1),
    )
