"""Run a command of the package; the terminal shows what a user waits for, a file all of it."""

import re
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

COLOUR = re.compile(r'\x1b\[[0-9;]*m')
RECORD = re.compile(r'\S+ \S+ - \S+ - (DEBUG|INFO|WARNING|ERROR|CRITICAL) - (.*)')
TRAIN = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]')
LEFT, LOSS = re.compile(r'eta: (.*?)  '), re.compile(r' loss: (\S+)')
VAL = re.compile(r'Epoch\((val|test)\)\s+\[.*?\]\s+.*?(acc/top1|retrieval/t2v/R1): (\S+)')
HOST = ('"FileClient"', '"HardDiskBackend"', 'The prefix is not set')  # nothing a user can change
PATIENCE = 60.0  # seconds that an interrupted command has to end by itself


def run_shown(command: list[str], log: Path) -> int:
    """Run a command to its end, adding its output to a file.

    Shown are warnings and errors, a line for each epoch and each validation, and the last lines
    if it fails.

    Returns:
        Its exit status.

    Raises:
        KeyboardInterrupt: after the command, which is interrupted as well, has ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    show, end = _Show(), deque[str](maxlen=20)
    with (
        log.open('a', encoding='utf-8', errors='backslashreplace') as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace'
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(COLOUR.sub('', line))
                file.flush()
                end.append(COLOUR.sub('', line.rstrip('\n')))
                show(end[-1])
        except KeyboardInterrupt:
            _end(process)
            raise
    if process.returncode:
        print('\n'.join(end), file=sys.stderr)
    return process.returncode


def _end(process: subprocess.Popen) -> None:
    """Let it close its files; the terminal has interrupted it too, a caller may not have."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


class _Show:
    """What of the log is shown."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, line: str) -> None:
        record = RECORD.match(line)
        if 'tuned parameters' in line:
            self.say(line if record is None else record[2])
        if record is None:
            return
        level, text = record[1], record[2]
        if match := TRAIN.match(text):
            epoch, step, steps = match.groups()
            if step == steps:
                loss, left = LOSS.search(text), LEFT.search(text)
                said = [f'loss {loss[1]}'] if loss else []
                self.say(
                    ', '.join([f'epoch {epoch}', *said, *([f'{left[1]} left'] if left else [])])
                )
        elif match := VAL.match(text):
            share, name = float(match[3]), match[2]
            figure = f'top-1 {100 * share:.1f} %' if name == 'acc/top1' else f'R@1 {share:.1f} %'
            self.say(f'{match[1]}: {figure}')
        elif level not in ('DEBUG', 'INFO') and text not in self.seen and not text.startswith(HOST):
            self.seen.add(text)
            self.say(text)

    def say(self, text: str) -> None:
        print(text, flush=True)
