"""torch.compile on the device: equal numbers, graph breaks, a compiled step."""

import time

import models
import steps
import torch
import torch._dynamo as dynamo
from arithmetic import run
from harness import Budget, Machine, Report, distance, exact_arithmetic


def compiled(report: Report, budget: Budget, machine: Machine) -> None:
    """torch.compile: equal numbers, graph breaks; and a step at the papers' size, compiled."""
    exact_arithmetic()
    names = (
        'ST two a block',
        'S4V light',
        'ST two a block, with_cp',
        'S4V with_cp',
        'mean of frames, all tuned',
    )
    for i, name in enumerate(names):
        if i == 2 and machine.cuda:
            _compiled_step(report, budget, machine)
        if not budget.allows(report, f'compile {name}', 40):
            return
        with report.guard(f'compile {name}'):
            dynamo.reset()
            dynamo.utils.counters.clear()
            torch.manual_seed(0)
            model = models.stir(models.toys()[name]()).to(machine.device).train()
            video = torch.randn(2, 3, 8, 32, 32, device=machine.device)
            out, grad, cotangent = run(model, video)
            start = time.perf_counter()
            its = run(torch.compile(model), video, cotangent)
            seconds = time.perf_counter() - start
            breaks = dict(dynamo.utils.counters['graph_break'])
            why = '; '.join(' '.join(k.split())[:80] for k in list(breaks)[:2])
            report.check(
                f'compile {name}',
                distance(its[1], grad),
                1e-4,
                output=distance(its[0], out),
                seconds=seconds,
                breaks=sum(breaks.values()),
                first=why,
            )


def _compiled_step(report: Report, budget: Budget, machine: Machine) -> None:
    """Step time with the backbone compiled, beside eager, ours and plain."""
    for setting, form in (
        (models.SETTINGS[0], 'ours'),
        (models.SETTINGS[0], 'plain'),
        (models.SETTINGS[3], 'ours'),
        (models.SETTINGS[3], 'plain'),
    ):
        name = f'compiled step, {setting.name}, {form}'
        if not budget.allows(report, name, 45):
            return
        with report.guard(name):
            dynamo.reset()
            step = steps.Step(machine, setting, form)
            eager = machine.time(step, 3, 7)
            step.model = torch.compile(step.model)
            start = time.perf_counter()
            step()
            machine.synchronise()
            seconds = time.perf_counter() - start
            fast = machine.time(step, 3, 7)
            report.row(
                name,
                eager_ms=1e3 * eager,
                compiled_ms=1e3 * fast,
                ratio=fast / eager,
                compile_s=seconds,
                peak_gb=machine.peaks()[0],
            )
