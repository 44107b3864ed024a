"""Watch a webcam, a camera or a file, and say when its label changes.

    mmstadapter watch SOURCE ADAPTER.safetensors [--events EVENTS.jsonl] [--high 0.6] ...

SOURCE is a webcam (/dev/video0, or 0), an address (rtsp://..., http://...) or a video file. A line
is printed when the label changes: the time, the score, the label, "none of these" where no score
is high enough. A label's score opens an event at --high and closes it below --low, as segments of
`mmstadapter timeline`; --events adds a line of JSON for each when it is over, and what the file
holds stays. A live source that breaks is reached again (--retries), and where it is faster than
the model, frames are dropped and counted; a file drops none. Ctrl-C ends it, and the events that
are open then are written.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('watch', __doc__)
    add = parser.add_argument
    add('source', help='/dev/video0 or its number, rtsp://..., http://..., or a video file')
    add('adapter', help='a file that `mmstadapter fit` or `mmstadapter publish` wrote')
    add('--events', type=Path, metavar='FILE.jsonl', help='add a line for each event that is over')
    add('--force', action='store_true', help='begin an existing file of events anew')
    add('--window', type=float, help="seconds that a label is of [the recipe's frames, or 4]")
    add('--high', type=float, help="score that opens an event [the adapter's threshold, or 0.5]")
    add('--low', type=float, help='score below which it closes [0.7 of --high]')
    add('--shortest', type=float, default=0.0, help='seconds of the shortest event [0]')
    add('--retries', type=int, default=5, help='tries in a row to reach a live source again [5]')
    add('--option', action='append', default=[], metavar='NAME=VALUE',
        help='of FFmpeg, for a live source: video_size=1280x720, framerate=30 ...')  # fmt: skip
    add('--checkpoint', help="the trunk's pretrained file [the one named in the adapter file]")
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    args = parser.parse_args(argv)
    if args.retries < 0:
        parser.error(f'--retries must be 0 or more, got {args.retries}')
    if wrong := [word for word in args.option if '=' not in word]:
        parser.error(f'--option takes NAME=VALUE, got {wrong[0]}')
    return args


def prepare(args: argparse.Namespace):
    """The watch that the command line asks for, before its first frame."""
    import datetime

    from mmstadapter import Predictor, Stream
    from mmstadapter.printing import shown
    from mmstadapter.search.printing import clock
    from mmstadapter.streams.events import EventFile
    from mmstadapter.streams.live import Live, source_of
    from mmstadapter.streams.segments import check_thresholds
    from mmstadapter.streams.watching import Recording, Watch, entry_of, moment

    found = source_of(args.source)
    high = 0.5 if args.high is None else args.high
    check_thresholds(high, high if args.low is None else args.low, args.shortest)
    events = EventFile(args.events, args.force) if args.events else None
    predictor = Predictor(args.adapter, args.checkpoint, args.device)
    if found.kind == 'file':
        source: Recording | Live = Recording(found)
    else:
        source = Live(found, dict(word.split('=', 1) for word in args.option), args.retries)
    begun = datetime.datetime.now().astimezone() if found.kind != 'file' else None

    def say(change) -> None:
        when = f'{moment(begun, change.seconds):%F %T}' if begun else clock(change.seconds)
        print(f'{when:>9}  {change.score:.3f}  {shown(change.label)}', flush=True)

    def write(segment) -> None:
        if events:
            events.write(entry_of(segment, found.name, begun))

    def note(sentence: str) -> None:
        print(shown(f'{found.name}: {sentence}'), file=sys.stderr, flush=True)

    stream = Stream(predictor, window=args.window, fps=source.fps)
    return Watch(source, stream, args.high, args.low, args.shortest, say, write, note)


def main(argv: list[str] | None = None) -> None:
    """Watch as the command line says."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs

        with logs.on_stderr():
            watch = prepare(args)
        sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
        try:
            with stopped_by_a_signal():
                watch.run()
        except KeyboardInterrupt:
            pass
        finally:
            watch.note(watch.summary())
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))


@contextmanager
def stopped_by_a_signal() -> Iterator[None]:
    """What asks a process to end (systemd, docker) is a Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
