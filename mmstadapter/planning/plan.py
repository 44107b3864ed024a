"""A plan in words and as data: what a step takes, how much fits, what each setting would do."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..models.recomputing import STEPS, chosen_step
from .account import GB, Account
from .cards import Card
from .settings import RECOMPUTE, Setting, changed, settings_of
from .step import TrainingStep

SHOWN = 7  # modules
ASSUMED = (
    'Counted operator by operator on tensors without content, in GB of 1e9 bytes. Not in it: what '
    'a context and unused blocks of the allocator take, 1 to 3 GB (a card sold as 24 GB has 25.8).'
)
ROOF = (
    'A lower bound, not a measurement: matrix products at {half:g} TFLOP/s in 16 bit ({single:g} '
    'in float32), all else at {bandwidth:g} TB/s of memory, one operator after the other, no gap '
    'between them, no reading of videos, operators uncompiled.'
)


class Plan:
    """What a config's training takes of a card.

    Args:
        step: the config's step.
        card: whose speed counts.
        memory: GB of it.
    """

    def __init__(self, step: TrainingStep, card: Card, memory: float) -> None:
        self.step, self.card, self.memory = step, card, memory
        self.account = step.account()

    @property
    def largest(self) -> int:
        """Most videos a card takes; 0 if not even one fits."""
        return self.step.largest(self.memory * GB)

    def settings(self) -> Iterator[tuple[Setting, TrainingStep]]:
        """Each setting, and the step with it."""
        for setting in settings_of(self.step):
            config = changed(self.step.config, setting.options)
            yield setting, TrainingStep(config, self.step.gpus)

    def what_to_change(self) -> str:
        """Where not even one video fits: what makes it fit."""
        one = {'train_dataloader.batch_size': 1}
        step = TrainingStep(changed(self.step.config, one), self.step.gpus)
        alone = Plan(step, self.card, self.memory)
        needed = {s.name: other.account().peak / GB for s, other in alone.settings()}
        fitting = [f'{name} ({gb:.2f} GB)' for name, gb in needed.items() if gb <= self.memory]
        weights = (alone.account.frozen + alone.account.tuned) / GB
        return (
            f'mmstadapter plan: not even one video fits {self.memory:g} GB: it takes '
            f'{alone.account.peak / GB:.2f} GB, {weights:.2f} of them weights. It would fit with '
            f'{" or ".join(fitting) or "none of the settings above alone"}; else take several of '
            'them, a smaller trunk or image, or a larger card.'
        )

    def milliseconds(self, step: TrainingStep) -> float:
        """The least time of a clip."""
        return 1e3 * step.account().seconds(self.card) / step.clips

    # ------------------------------------------------------------------- words

    def lines(self) -> Iterator[str]:
        """For the user, as soon as each is known."""
        yield from self._peak_lines()
        yield from self._time_lines()
        yield from self._batch_lines(self.largest)
        yield from self._setting_lines()
        yield f'\n{ASSUMED}\n{ROOF.format(**vars(self.card))}'

    def _peak_lines(self) -> Iterator[str]:
        step, (height, width) = self.step, self.step.size
        precision = str(step.autocast).removeprefix('torch.') if step.autocast else 'float32'
        cards = f', {step.gpus} cards' if step.gpus > 1 else ''
        parts = f' x {step.parts} accumulated' if step.parts > 1 else ''
        yield (
            f'{step.clips} clips{parts} of {step.frames} frames of {height}x{width} a card, '
            f'{precision}{cards}'
        )
        yield f'\npeak {self.account.peak / GB:.2f} GB'
        for name, nbytes in self.account.categories().items():
            yield _row(name, nbytes)
            if name == 'kept for backward':
                yield from (_row(f'  {module}', size) for module, size in _top(self.account))

    def _time_lines(self) -> Iterator[str]:
        account, card = self.account, self.card
        products = sum(card.seconds(o.operations, 0, o.half) for o in account.operators)
        yield (
            f'\n{card.name}: at least {1e3 * account.seconds(card):.1f} ms a step '
            f'({self.milliseconds(self.step):.2f} a clip), {1e3 * products:.1f} of them matrix '
            f'products ({account.operations / 1e12:.1f} TFLOP); {account.traffic / GB:.0f} GB are '
            f'moved by {len(account.operators)} operators'
        )

    def _batch_lines(self, largest: int) -> Iterator[str]:
        memory = f'{self.memory:g} GB'
        if largest:
            peak = self.step.account(largest).peak / GB
            yield f'\nlargest batch_size in {memory}: {largest} ({peak:.2f} GB)'
        else:
            one = self.step.account(1).peak / GB
            yield f'\nnot even batch_size=1 fits {memory}: it takes {one:.2f} GB'

    def _setting_lines(self) -> Iterator[str]:
        here, time = self.account.peak, self.milliseconds(self.step)
        peaks: dict[str, int] = {}
        yield f'\n{"with":<52}{"peak GB":>9}{"":>9}{"ms a clip":>11}'
        yield f'{"this config":<52}{here / GB:>9.2f}{"":>9}{time:>11.2f}'
        for setting, step in self.settings():
            peak, other = step.account().peak, self.milliseconds(step)
            change = f'{(peak - here) / GB:+.2f}'
            yield (
                f'{setting.name:<52}{peak / GB:>9.2f}{change:>9}{other:>11.2f} '
                f'({other / time:.2f}x)'
            )
            peaks[setting.options.get(RECOMPUTE, '')] = peak
        yield from self._auto_lines(peaks)

    def _auto_lines(self, peaks: dict[str, int]) -> Iterator[str]:
        """What memory='auto' would take, by the peaks of the steps of ``recompute``."""
        if any(step in peaks for step in STEPS):
            fits = self.cheapest_that_fits(peaks)
            words = f"takes recompute='{fits}'" if fits else 'finds that none fits'
            yield f"\nmemory='auto' with {self.memory:g} GB free {words}"

    def cheapest_that_fits(self, peaks: dict[str, int]) -> str | None:
        """The first step of ``recompute`` that the memory holds, the config's own among them."""
        backbone = self.step.config.model.backbone
        now = chosen_step(backbone.get('recompute'), backbone.get('with_cp'), 'recompute')
        peaks = peaks | {now: self.account.peak}
        return next((s for s in STEPS if peaks[s] <= self.memory * GB), None)

    # -------------------------------------------------------------------- data

    def data(self) -> dict[str, Any]:
        """All of it for tools; sizes in bytes, times in seconds."""
        step, account = self.step, self.account
        return dict(
            batch_size=step.videos,
            clips=step.clips,
            frames=step.frames,
            size=list(step.size),
            autocast=str(step.autocast).removeprefix('torch.') if step.autocast else None,
            gpus=step.gpus,
            peak=account.peak,
            categories=account.categories(),
            kept=dict(_by_kind(account)),
            operations=account.operations,
            traffic=account.traffic,
            card=vars(self.card),
            seconds=account.seconds(self.card),
            gpu_memory=self.memory * GB,
            largest_batch_size=self.largest,
            settings=[
                dict(
                    name=setting.name,
                    options=setting.options,
                    peak=other.account().peak,
                    seconds_a_clip=self.milliseconds(other) / 1e3,
                )
                for setting, other in self.settings()
            ],
        )


def _row(name: str, nbytes: int) -> str:
    return f'  {name:<58}{nbytes / GB:>8.3f}'


def _by_kind(account: Account) -> Counter[str]:
    """What is kept, by module, layers that differ in their number put together."""
    found: Counter[str] = Counter()
    for name, nbytes in account.kept.items():
        found[re.sub(r'\.\d+(?=\.|$)', '.*', name) or 'loss'] += nbytes
    return found


def _top(account: Account) -> Iterator[tuple[str, int]]:
    """The largest, and the others together."""
    ranked = _by_kind(account).most_common()
    yield from ranked[:SHOWN]
    if rest := sum(nbytes for _, nbytes in ranked[SHOWN:]):
        yield 'others', rest
