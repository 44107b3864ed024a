"""The largest batch that a memory takes."""

from collections.abc import Callable

LIMIT = 4096  # nobody trains with more clips a card
LINES = 8  # times that a line is believed in
REACH = 8  # and how far: a small batch's peak may not be where a large one's is


def largest_batch(
    peak: Callable[[int], float], memory: float, start: int = 8, fixed: float = 0.0
) -> int:
    """The n up to `LIMIT` with peak(n) <= memory < peak(n + 1); 0 if not even one fits.

    Memory is nearly a straight line in n. So a line through the last two points tells where to
    look next; that and its neighbour are looked at.

    Args:
        peak: bytes of a step with n, rising in n. It is asked for a few n.
        memory: bytes.
        start: where to look first.
        fixed: bytes without any clip, about.
    """
    fits, fails = 0, LIMIT + 1
    last, last_bytes = 0, fixed
    n, tries = min(max(start, 1), LIMIT), 0
    while fails - fits > 1:
        here = peak(n)
        fits, fails = (n, fails) if here <= memory else (fits, n)
        slope = (here - last_bytes) / (n - last)
        last, last_bytes, tries = n, here, tries + 1
        guess = n + int((memory - here) // slope) if slope > 0 else LIMIT
        guess = min(guess, REACH * n) if tries < LINES else (fits + fails) // 2
        n = min(max(guess, fits + 1), fails - 1)
    return fits
