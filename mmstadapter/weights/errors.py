"""What can be wrong with a file of weights, said whole: who shows it needs no traceback."""


class DamagedFile(ValueError):
    """A file that is not whole, or holds something else than weights."""

    is_said_whole = True


class NoNumbers(ValueError):
    """Weights that are infinite or not a number."""

    is_said_whole = True
