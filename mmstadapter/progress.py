"""How far a long task is: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator

from rich import progress as rich
from rich.console import Console
from rich.table import Column

from .printing import shown

QUIET = 30.0  # seconds between lines where the output is not a terminal


class Progress:
    """``with Progress('videos', 12) as bar: bar.done('a.mp4')``.

    Args:
        what: is counted.
        count: how many of them there are, None if that is not known yet.
        weight: of all together, if they take unequal times: the sum of what :meth:`done` is told.
        say: takes the lines for the user; standard error if None.
        hidden: draw no bar, for all but one of several processes.
    """

    def __init__(
        self,
        what: str,
        count: int | None,
        weight: int | None = None,
        say: Callable[[str], None] | None = None,
        hidden: bool = False,
    ) -> None:
        self.what, self.count, self.weight = what, count, weight
        self.number = self.finished = 0
        self.begun = self.told = time.monotonic()
        self._say = say or _on_stderr
        console = Console(stderr=True)
        name = Column(no_wrap=True, overflow='crop')
        self.bar = rich.Progress(
            rich.BarColumn(20),
            rich.TextColumn('{task.description}', markup=False),
            rich.TextColumn('{task.fields[name]}', markup=False, table_column=name),
            console=console,
            transient=True,
            disable=hidden or not console.is_terminal,
        )
        self.task = self.bar.add_task('', total=None, name='')

    def __enter__(self) -> 'Progress':
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    @property
    def whole(self) -> int | None:
        """What `finished` will be in the end."""
        return self.count if self.weight is None else self.weight

    def done(self, name: str = '', weight: int = 1) -> None:
        """Another one is done."""
        self.number, self.finished = self.number + 1, self.finished + weight
        now = time.monotonic()
        self.bar.update(
            self.task,
            completed=self.finished,
            total=self.whole,
            description=self.line(now),
            name=shown(name)[-40:],
        )
        if self.bar.disable and now - self.told > QUIET:
            self._say(self.line(now))
            self.told = now

    def say(self, line: str) -> None:
        """A line for the user, above the bar if there is one."""
        self.bar.stop()
        self._say(line)
        self.bar.start()

    def line(self, now: float) -> str:
        """'12/340 videos, 1:02 so far, about 25:13 left'."""
        so_far = now - self.begun
        line = f'{self.number}/{self.count or "?"} {self.what}, {clock(so_far)} so far'
        if not self.whole or not self.finished:
            return line
        left = so_far * (self.whole - self.finished) / self.finished
        return f'{line}, about {clock(left)} left'


def told(items: Iterable, count: int, what: str) -> Iterator:
    """The items, with a `Progress` of what they are."""
    with Progress(what, count) as bar:
        for item in items:
            yield item
            bar.done()


def clock(seconds: float) -> str:
    """75.0 -> '1:15'; hours are counted in minutes up to 100 of them."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes}:{rest:02d}' if minutes < 100 else f'{minutes // 60} h {minutes % 60:02d} min'


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
