"""Names and texts from elsewhere as one line of a terminal or log shows them."""


def shown(name: object) -> str:
    r"""A file's name, label or the like with what does not print escaped.

    A line break, an escape sequence that moves the cursor or recolours the terminal, marks that
    turn the direction of writing, bytes that are no text: all stand as '\\n', '\\x1b' and so on.
    """
    return ''.join(x if x.isprintable() else ascii(x)[1:-1] for x in str(name))


def printable(text: str) -> str:
    """Lines of text with what does not print escaped, see :func:`shown`."""
    return text if text.isprintable() else '\n'.join(map(_line, text.split('\n')))


def _line(text: str) -> str:
    return '\t'.join(map(shown, text.split('\t')))
