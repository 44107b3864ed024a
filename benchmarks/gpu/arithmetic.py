"""Numbers on the device: the authors' cases, ours against float64, odd circumstances."""

import warnings
from pathlib import Path

import models
import torch
from harness import Budget, Machine, Report, distance, exact_arithmetic, gradients
from plain_form import PlainForm
from torch import Tensor, nn

from mmstadapter import parity

# Relative to the norm of the float64 reference: output, gradient of all tuned parameters.
FLOAT32 = (1e-5, 1e-4)
HALF = {torch.bfloat16: (3e-2, 8e-2), torch.float16: (4e-3, 2e-2)}
WORSE = 1.5  # times the error of plain operators in the same precision


def golden(report: Report, budget: Budget, machine: Machine, cases: list[Path]) -> None:
    """Every stored case of the authors' code, computed on the device in float32 without TF32."""
    exact_arithmetic()
    files = sorted(f for folder in cases for f in folder.rglob('*.safetensors'))
    for file in files[:: 4 if machine.quick else 1]:
        if not budget.allows(report, file.stem, 3):
            break
        with report.guard(file.stem):
            with machine.device:
                lines = list(parity.read_case(file, machine.device).lines())
            failed = [line for line in lines if not line.holds]
            nearest = max((x.difference / x.tolerance for x in lines if x.tolerance), default=0.0)
            report.row(
                file.stem,
                'FAIL' if failed or not lines else 'ok',
                agree=f'{len(lines) - len(failed)}/{len(lines)}',
                of_tolerance=nearest,
                worst=failed[0].name if failed else '',
            )


def backbones(report: Report, budget: Budget, machine: Machine) -> None:
    """Toy backbones: device float32 against CPU float64, 16-bit autocast against float64."""
    exact_arithmetic()
    clips, frames = 4, 8
    for name, make in models.toys().items():
        if not budget.allows(report, name, 3):
            break
        with report.guard(name):
            torch.manual_seed(0)
            model = models.stir(make()).train()
            video = torch.randn(clips, 3, frames, 32, 32)
            start = {k: v.clone() for k, v in model.state_dict().items()}
            out, grad, cotangent = run(model.double(), video.double())
            model.float().load_state_dict(start)
            model.to(machine.device)
            video, cotangent = video.to(machine.device), cotangent.to(machine.device)
            for dtype in (None, torch.bfloat16, torch.float16):
                if dtype == torch.float16 and not machine.cuda:
                    continue
                model.load_state_dict(start)
                got, its, _ = run(model, video, cotangent, machine, dtype)
                limits = FLOAT32 if dtype is None else HALF[dtype]
                errors = distance(got, out), distance(its, grad)
                holds = errors[0] <= limits[0] and errors[1] <= limits[1]
                report.row(
                    name,
                    'ok' if holds else 'FAIL',
                    dtype=str(dtype or 'float32'),
                    output=errors[0],
                    gradient=errors[1],
                    limits=str(limits),
                )


def run(
    model: nn.Module,
    video: Tensor,
    cotangent: Tensor | None = None,
    machine: Machine | None = None,
    dtype: torch.dtype | None = None,
    inside: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Output, all gradients, and the cotangent they were taken for."""
    model.zero_grad(set_to_none=True)
    kind = video.device.type
    with torch.autocast(kind, dtype or torch.bfloat16, enabled=dtype is not None):
        out = model(video)
        if cotangent is None:
            torch.manual_seed(1)
            cotangent = torch.randn(out.shape, dtype=out.dtype, device=out.device)
        loss = (out.float() if out.dtype != torch.float64 else out) * cotangent
        if inside:
            loss.sum().backward()
    if not inside:
        loss.sum().backward()
    return out.detach(), gradients(model), cotangent


def real_size(report: Report, budget: Budget, machine: Machine) -> None:
    """ViT-B/16 at 224: ours and plain operators, float32 and 16 bit, against plain float64.

    In 16 bit ours passes if it is no more than 1.5 times as far from float64 as the plain
    operators under the same autocast.
    """
    exact_arithmetic()
    clips = 1 if machine.quick else 2
    for setting in models.SETTINGS[:4]:
        for with_cp in (False, True):
            name = setting.name + (', with_cp' if with_cp else '')
            if not budget.allows(report, name, 4):
                return
            with report.guard(name):
                _one_size(report, machine, setting, name, with_cp, clips)


def _one_size(report, machine, setting, name, with_cp, clips) -> None:
    torch.manual_seed(0)
    if machine.quick:
        make = models.toys()[
            ('ST' if setting.kind == 'st' else 'S4V')
            + (' one a block' if setting.kind == 'st' else ' all')
        ]
        model, side = models.stir(make()).train(), 32
        if with_cp:
            (model if setting.kind == 'st' else model.side).with_cp = True
        model.to(machine.device)
    else:
        model, side = models.build(setting, machine.device, None, with_cp=with_cp), 224
    video = torch.randn(clips, 3, 8, side, side, device=machine.device)
    plain, start = PlainForm(model), {k: v.clone() for k, v in model.state_dict().items()}
    out, grad, cotangent = run(plain.double(), video.double())
    model.float().load_state_dict(start)
    cotangent = cotangent.float()
    for dtype in (None, torch.bfloat16, torch.float16):
        if dtype == torch.float16 and not machine.cuda:
            continue
        ours, theirs = (run(form, video, cotangent, machine, dtype) for form in (model, plain))
        errors = distance(ours[0], out), distance(ours[1], grad)
        base = distance(theirs[0], out), distance(theirs[1], grad)
        if dtype is None:
            holds = errors[0] <= FLOAT32[0] and errors[1] <= FLOAT32[1]
        else:
            holds = errors[0] <= WORSE * base[0] + 1e-4 and errors[1] <= WORSE * base[1] + 1e-4
        report.row(
            name,
            'ok' if holds else 'FAIL',
            dtype=str(dtype or 'float32'),
            output=errors[0],
            gradient=errors[1],
            plain_output=base[0],
            plain_gradient=base[1],
        )


def variants(report: Report, budget: Budget, machine: Machine) -> None:
    """Places where a GPU differs from a CPU: each compared with the ordinary run."""
    exact_arithmetic()
    device = machine.device
    for name, make in (
        ('ST', models.toys()['ST two a block']),
        ('S4V', models.toys()['S4V all']),
        ('S4V with_cp', models.toys()['S4V with_cp']),
        ('S4V EVA', models.toys()['S4V EVA, post norm']),
    ):
        if not budget.allows(report, name, 3):
            return
        with report.guard(f'{name}: build'):
            torch.manual_seed(0)
            model = models.stir(make()).to(device).train()
            video = torch.randn(2, 3, 8, 32, 32, device=device)
        for dtype in (torch.bfloat16, *([torch.float16] if machine.cuda else [])):
            label = f'{name} {str(dtype)[6:]}'
            with report.guard(f'{label}: backward inside autocast'):
                out, grad, cotangent = run(model, video, None, machine, dtype)
                its = run(model, video, cotangent, machine, dtype, inside=True)
                far = distance(its[1], grad)
                report.check(f'{label}: backward inside autocast', far, HALF[dtype][1] / 4)
            with report.guard(f'{label}: second run'):
                its = run(model, video, cotangent, machine, dtype)
                report.row(f'{label}: second run, difference', value=distance(its[1], grad))
        with report.guard(f'{name}: strided video'):
            out, grad, cotangent = run(model, video)
            strided = video.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
            its = run(model, strided, cotangent)
            report.check(f'{name}: channels-last video', distance(its[1], grad), FLOAT32[1])
        with report.guard(f'{name}: one clip, one frame'):
            run(model, video[:1, :, :1])
            report.row(f'{name}: one clip of one frame', 'ok')
        with report.guard(f'{name}: frozen trunk in 16 bit'):
            for dtype in ('bfloat16', 'float16'):
                half = getattr(torch, dtype)
                for p in model.parameters():
                    if not p.requires_grad:
                        p.data = p.data.to(half)
                run(model, video, None, machine, torch.bfloat16)
                run(model, video)
                for p in model.parameters():
                    p.data = p.data.float()
            report.row(f'{name}: trunk stored in 16 bit, autocast and not', 'ok')
    _tf32(report, machine)
    _deterministic(report, machine)
    _syncs(report, machine)


def _tf32(report: Report, machine: Machine) -> None:
    """What PyTorch's default arithmetic on a GPU changes in float32."""
    with report.guard('default TF32'):
        torch.manual_seed(0)
        model = models.stir(models.toys()['S4V all']()).to(machine.device).train()
        video = torch.randn(2, 3, 8, 32, 32, device=machine.device)
        out, grad, cotangent = run(model, video)
        torch.backends.cudnn.allow_tf32 = True  # PyTorch's default
        default = run(model, video, cotangent)
        torch.backends.cuda.matmul.allow_tf32 = True
        everywhere = run(model, video, cotangent)
        exact_arithmetic()
        for name, its in (('cudnn (default)', default), ('cudnn and matmul', everywhere)):
            report.row(
                f'TF32 in {name}', output=distance(its[0], out), gradient=distance(its[1], grad)
            )


def _deterministic(report: Report, machine: Machine) -> None:
    """`train.py --deterministic`: does every operator have a deterministic form?"""
    video = torch.randn(2, 3, 8, 32, 32, device=machine.device)
    for name in ('ST two a block', 'S4V all', 'TimeSformer', 'mean of frames, all tuned'):
        with report.guard(f'deterministic algorithms: {name}'):
            model = models.stir(models.toys()[name]()).to(machine.device).train()
            torch.use_deterministic_algorithms(True)
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter('always')
                    dtype = torch.float16 if machine.cuda else torch.bfloat16
                    first = run(model, video, None, machine, dtype)
                    again = run(model, video, first[2], machine, dtype)
            finally:
                torch.use_deterministic_algorithms(False)
            equal = torch.equal(first[1], again[1])
            notes = {str(w.message).split('.')[0][:90] for w in caught}
            status = 'ok' if equal else 'FAIL'
            report.row(f'deterministic algorithms: {name}', status, warned='; '.join(notes))


def _syncs(report: Report, machine: Machine) -> None:
    """Where a training step makes the host wait for the device."""
    if not machine.cuda:
        return
    for name in ('ST two a block', 'S4V all', 'S4V with_cp'):
        with report.guard(f'waits of a step: {name}'):
            model = models.stir(models.toys()[name]()).to(machine.device).train()
            video = torch.randn(2, 3, 8, 32, 32, device=machine.device)
            run(model, video, None, machine, torch.bfloat16)

            def step(model=model, video=video) -> None:
                with machine.autocast(torch.bfloat16):
                    out = model(video)
                out.float().sum().backward()

            found = machine.waits(step)
            report.row(
                f'waits of forward and backward: {name}',
                count=len(found),
                where=', '.join(sorted(set(found))),
            )
