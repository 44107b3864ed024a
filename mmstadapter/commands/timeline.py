"""Label a long video over time.

    mmstadapter timeline ADAPTER.safetensors LONG.mp4 [--window 4 --stride 1] [--out OUT.srt ...]

Prints a table of segments: a label's score opens one at --high and closes it below --low. Each
frame is decoded once; with methods beside a frozen trunk (Side4Video, EVL, DiST, probes, linear)
each frame passes the trunk once, however many windows see it, and the last line counts that.
--out writes .json (all scores), .csv, .srt or .vtt (subtitles), .png, .jpg, .svg or .pdf, by its
suffix, and may be given several times. Where a video turns out to be damaged the timeline ends,
says so, and the exit status is 1.
"""

import argparse
import sys
from pathlib import Path

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('timeline', __doc__)
    add = parser.add_argument
    add('adapter', help='a file that `mmstadapter fit` or `mmstadapter publish` wrote')
    add('video', help='the file')
    add('--window', type=float, default=4.0, help='seconds that a label is of [4]')
    add('--stride', type=float, default=1.0, help='seconds between windows [1]')
    add('--high', type=float, help="score that opens a segment [the adapter's threshold, or 0.5]")
    add('--low', type=float, help='score below which it closes [0.7 of --high]')
    add('--shortest', type=float, help='seconds of the shortest segment [the stride]')
    add('--out', type=Path, action='append', default=[], help='write a file, see above')
    add('--checkpoint', help="the trunk's pretrained file [the one named in the adapter file]")
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    return parser.parse_args(argv)


def table(found) -> str:
    """The segments in columns, and what they cost."""
    from mmstadapter.printing import in_columns, shown
    from mmstadapter.search.printing import clock

    rows = [('from', 'to', 'score', 'label')]
    rows += [(clock(s.start), clock(s.end), f'{s.score:.3f}', shown(s.label)) for s in found]
    return in_columns(rows, 'rrrl')


def main(argv: list[str] | None = None) -> None:
    """Label as the command line says."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs

        with logs.on_stderr():
            from mmstadapter import timeline
            from mmstadapter.printing import shown
            from mmstadapter.streams.writing import check_suffix

            for path in args.out:
                check_suffix(path)
            found = timeline(
                args.adapter, args.video, args.window, args.stride, high=args.high, low=args.low,
                shortest=args.shortest, checkpoint=args.checkpoint, device=args.device,
            )  # fmt: skip
        sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
        none = f'no score reaches {found.thresholds["high"]:.3g}; --high sets another threshold'
        print(table(found.segments) if found.segments else none)
        print(f'{found.seconds:.1f} s: {found.cost_line()}')
        for path in args.out:
            found.write(path)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    if found.stopped:
        sys.exit(
            f'{shown(args.video)}: {found.stopped}. The timeline ends at {found.seconds:.1f} s.'
        )
