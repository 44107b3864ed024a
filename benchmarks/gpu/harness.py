"""What the sections share: a report that is written as it grows, a budget, clocks, memory."""

import gc
import json
import math
import statistics
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch

GB = 1e9


class Report:
    """Rows in ``results.jsonl`` and ``results.md``, each flushed at once.

    A row has a status: ok, FAIL (a check that does not hold), ERROR (an exception, with its
    traceback), OOM, skipped or info (a measurement, no verdict).
    """

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        self.lines = (out / 'results.jsonl').open('w', encoding='utf-8')
        self.page = (out / 'results.md').open('w', encoding='utf-8')
        self.section, self.columns = '', ()
        self.counts: dict[str, int] = {}
        self.begun = time.monotonic()

    def open(self, section: str, about: str) -> None:
        """Begin a section."""
        self.section, self.columns = section, ()
        self._say(f'\n## {section}\n\n{about}\n')

    def row(self, name: str, status: str = 'info', **values) -> None:
        """One result."""
        self.counts[status] = self.counts.get(status, 0) + 1
        entry = dict(section=self.section, name=name, status=status, **values)
        entry['at_s'] = round(time.monotonic() - self.begun, 1)
        for key, value in entry.items():
            if isinstance(value, float) and not math.isfinite(value):
                entry[key] = None if value != value else str(value)  # JSON has neither
        self.lines.write(json.dumps(entry, default=str) + '\n')
        self.lines.flush()
        shown = {k: v for k, v in values.items() if k != 'traceback'}
        columns = ('', 'status', *shown)
        if columns != self.columns:
            self.columns = columns
            self._say('\n| ' + ' | '.join(columns) + ' |\n|' + '---|' * len(columns))
        cells = [name, status, *(_cell(v) for v in shown.values())]
        self._say('| ' + ' | '.join(c.replace('|', '/') for c in cells) + ' |')

    def check(self, name: str, value: float, limit: float, **values) -> bool:
        """A number that must not exceed a limit; NaN fails."""
        holds = value <= limit
        self.row(name, 'ok' if holds else 'FAIL', value=value, limit=limit, **values)
        return holds

    @contextmanager
    def guard(self, name: str):
        """Record what goes wrong inside, and go on after it."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            self.row(name, 'OOM', error=str(error).splitlines()[0][:160])
        except Exception as error:  # any: the next check shall run
            text = f'{type(error).__name__}: {" ".join(str(error).split())}'
            self.row(name, 'ERROR', error=text[:300], traceback=traceback.format_exc())
        finally:
            clear()

    def close(self) -> None:
        """The last line: how many of each status."""
        self.open('sum', f'{time.monotonic() - self.begun:.0f} s in all')
        self.row('rows', 'info', **self.counts)

    def _say(self, text: str) -> None:
        print(text, flush=True)
        self.page.write(text + '\n')
        self.page.flush()


def _cell(value) -> str:
    if isinstance(value, float):
        if math.isfinite(value) and value and not 1e-2 <= abs(value) < 1e5:
            return f'{value:.1e}'
        return f'{value:.3g}' if abs(value) < 1000 else f'{value:.0f}'
    return str(value)


class Budget:
    """Seconds that are left."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def allows(self, report: Report, name: str, seconds: float) -> bool:
        """Whether an item of about so many seconds still fits; says so if not."""
        if self.left >= seconds:
            return True
        report.row(name, 'skipped', reason=f'{self.left:.0f} s left, needs about {seconds:.0f}')
        return False


class Machine:
    """The device, its clocks and its ceilings."""

    def __init__(self, device: str, quick: bool) -> None:
        self.device = torch.device(device)
        self.cuda = self.device.type == 'cuda'
        self.quick = quick
        self.matmul_tflops = self.copy_gbps = float('nan')

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def autocast(self, dtype: torch.dtype | None):
        """Autocast of the device in a type; None: none."""
        return torch.autocast(self.device.type, dtype or torch.bfloat16, enabled=dtype is not None)

    def measure_ceilings(self) -> None:
        """A bf16 matrix product on random data, and a device-to-device copy."""
        side, count = (8192, 2**28) if self.cuda and not self.quick else (256, 2**20)
        a, b = (torch.randn(side, side, device=self.device).bfloat16() for _ in 'ab')
        self.matmul_tflops = 2 * side**3 / self.time(lambda: a @ b, 3, 10) / 1e12
        x = torch.randn(count, device=self.device)
        y = torch.empty_like(x)
        self.copy_gbps = 2 * x.nbytes / self.time(lambda: y.copy_(x), 3, 10) / GB

    def time(self, step: Callable[[], object], warmup: int = 5, repeats: int = 10) -> float:
        """Median seconds of a step; on a GPU by events, the queue kept filled."""
        return statistics.median(self.times(step, warmup, repeats))

    def times(self, step: Callable[[], object], warmup: int = 5, repeats: int = 10) -> list[float]:
        """Seconds of each repetition; peak memory counts from the end of the warm-up."""
        for _ in range(warmup):
            step()
        self.synchronise()
        if not self.cuda:
            found = []
            for _ in range(repeats):
                start = time.perf_counter()
                step()
                found.append(time.perf_counter() - start)
            return found
        torch.cuda.reset_peak_memory_stats(self.device)
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        marks[0].record()
        for mark in marks[1:]:
            step()
            mark.record()
        self.synchronise()
        return [a.elapsed_time(b) / 1e3 for a, b in zip(marks, marks[1:], strict=False)]

    def host_time(self, step: Callable[[], object], repeats: int = 5) -> float:
        """Median seconds that a step holds the host, the device idle before."""
        found = []
        for _ in range(repeats + 1):
            self.synchronise()
            start = time.perf_counter()
            step()
            found.append(time.perf_counter() - start)
        return statistics.median(found[1:])

    def waits(self, step: Callable[[], object]) -> list[str]:
        """Where in a step the host waits for the device: file and line, once each time."""
        if not self.cuda:
            return []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            torch.cuda.set_sync_debug_mode('warn')
            try:
                step()
            finally:
                torch.cuda.set_sync_debug_mode('default')
        caught = [w for w in caught if 'synchroniz' in str(w.message)]
        return [f'{Path(w.filename).name}:{w.lineno}' for w in caught]

    def peaks(self) -> tuple[float, float]:
        """GB at most allocated and reserved since the last reset."""
        if not self.cuda:
            return float('nan'), float('nan')
        return (
            torch.cuda.max_memory_allocated(self.device) / GB,
            torch.cuda.max_memory_reserved(self.device) / GB,
        )


def clear() -> None:
    """Give back what nobody holds."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def distance(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Norm of the difference over the norm of the reference, in float64; NaN stays."""
    a, b = ours.detach().double().cpu(), reference.detach().double().cpu()
    return ((a - b).norm() / b.norm().clamp(min=1e-30)).item()


def gradients(module: torch.nn.Module) -> torch.Tensor:
    """All gradients in one vector, zeros where there is none."""
    parts = [
        torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
        for p in module.parameters()
        if p.requires_grad
    ]
    return torch.cat([part.double() for part in parts])


def exact_arithmetic() -> None:
    """No TF32 anywhere."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
