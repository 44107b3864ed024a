"""Times and the ends of names as one line of text shows them."""

from unicodedata import east_asian_width

from ..printing import shown

__all__ = ['clock', 'shown', 'tail']


def clock(seconds: float) -> str:
    """65.04 -> '1:05.0', 3665 -> '1:01:05.0'."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f'{minutes:02d}' if hours else f'{minutes}'
    return f'{f"{hours}:" if hours else ""}{clock}:{rest // 10:02d}.{rest % 10}'


def tail(text: str, columns: int) -> str:
    """The last characters of a text that fit into so many columns of a terminal."""
    kept = len(text)
    while kept and columns >= (width := 2 if east_asian_width(text[kept - 1]) in 'WF' else 1):
        kept, columns = kept - 1, columns - width
    return text[kept:]
