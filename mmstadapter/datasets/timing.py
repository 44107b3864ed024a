"""When the frames of a video are shown, from the times that its packets or frames carry."""

from collections.abc import Sequence

import numpy as np

ASSUMED_RATE = 25.0  # frames a second of a stream that does not say


def timetable(
    ticks: Sequence[int | None] | np.ndarray, last: int, tick: float, rate: float
) -> np.ndarray:
    """Seconds from 0 at which each frame is shown, and the last one's end: (n + 1,), ascending.

    Args:
        ticks: when each of n frames is shown, in order of presentation, in units of ``tick``;
            without an ascending order or a time of each, they are spaced by ``rate``.
        last: how long the last is shown, in ticks; 0 if unknown: as long as the others.
        tick: seconds.
        rate: frames a second that the header states, 0 if it does not.
    """
    step = 1 / (rate or ASSUMED_RATE)
    if not len(ticks) or not ascending(ticks):
        return np.arange(len(ticks) + 1) * step
    times = (np.asarray(ticks, np.int64) - ticks[0]) * tick
    if last > 0:
        step = last * tick
    elif len(times) > 1:
        step = float(np.median(np.diff(times)))
    return np.append(times, times[-1] + step)


def ascending(ticks: Sequence[int | None] | np.ndarray) -> bool:
    """Whether each frame has a time of its own, later than the one before."""
    return all(tick is not None for tick in ticks) and bool(
        (np.diff(np.asarray(ticks, np.int64)) > 0).all()
    )


def continued(stored: list[int | None]) -> list[int | None]:
    """Times of storage in place of those of presentation, which avi does not hold.

    A frame that is shown when a packet has come carries that packet's time. The last come when
    no packet is left: they follow at the distance of those before.
    """
    known = [tick for tick in stored if tick is not None]
    if len(known) < 2 or stored[: len(known)] != known:
        return stored
    step = known[-1] - known[-2]
    return known + [known[-1] + step * (i + 1) for i in range(len(stored) - len(known))]


def average_rate(times: np.ndarray, tick: float, stated: float) -> float:
    """Frames per second of a :func:`timetable`.

    The rate that the header states is taken where the frames bear it out, to 1 % and the
    rounding of their times; where they do not, as when the distance of frames varies, theirs.
    """
    frames, span = len(times) - 1, float(times[-2] if len(times) > 1 else 0)
    if frames < 2:
        return stated
    if stated and abs((frames - 1) / stated - span) <= 0.01 * span + 2 * tick:
        return stated
    return frames / float(times[-1])
