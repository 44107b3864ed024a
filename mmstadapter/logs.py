"""Where what is logged goes when a command's output is data."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from mmengine.logging import MMLogger


@contextmanager
def on_stderr() -> Iterator[None]:
    """Log to the standard error, so that the output holds the result alone."""
    loggers = MMLogger._instance_dict.values()  # which write to where the output was at first
    handlers = [h for log in loggers for h in log.handlers if type(h) is logging.StreamHandler]
    streams = [handler.stream for handler in handlers]
    try:
        for handler in handlers:
            handler.stream = sys.stderr
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            handler.stream = stream
