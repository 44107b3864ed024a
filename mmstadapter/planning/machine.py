"""The memory of this machine."""

import os


def available_memory() -> float:
    """Bytes of main memory that nobody uses; where the system does not say, 0."""
    try:
        with open('/proc/meminfo') as file:
            return next(int(x.split()[1]) * 1024.0 for x in file if x.startswith('MemAvailable'))
    except (OSError, StopIteration):
        return 0.0


def main_memory() -> float:
    """Bytes of main memory in all."""
    return float(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))
