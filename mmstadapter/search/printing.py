"""Times as a player shows them."""


def clock(seconds: float) -> str:
    """65.04 -> '1:05.0', 3665 -> '1:01:05.0'."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f'{minutes:02d}' if hours else f'{minutes}'
    return f'{f"{hours}:" if hours else ""}{clock}:{rest // 10:02d}.{rest % 10}'
