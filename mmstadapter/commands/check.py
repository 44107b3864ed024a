"""Decode every video once and note what it was, so that later runs refuse one that changed.

    mmstadapter check VIDEO_DIR                     writes VIDEO_DIR/checked.jsonl
    mmstadapter check LIST --root VIDEO_DIR         writes LIST.checked.jsonl

Called again it compares what it knows, decodes what is new, and goes on where it was stopped.
The exit status is 1 if a video is damaged, changed or gone.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('check', __doc__)
    add = parser.add_argument
    add('source', help='a folder of videos or of folders of images, or an annotation file')
    add('--root', help='the folder that paths in the annotation file are relative to [.]')
    add('--delimiter', help='what ends the path in its lines [a tab if there is one, else a space]')
    add('--accept', action='store_true', help='take what changed as it is, forget what is gone')
    workers = min(8, os.cpu_count() or 1)
    add('--num-workers', type=int, default=workers, help='processes [cores, up to 8]')
    add('--json', metavar='OUT', help='write what was found to this file; - prints it')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict:
    """Check as the command line says."""
    from mmstadapter.apis.checking import check_videos
    from mmstadapter.progress import Progress

    with Progress('videos', None) as bar:

        def tell(done: int, total: int, name: str) -> None:
            bar.count = total
            bar.done(name)

        report = check_videos(
            args.source, args.root, args.delimiter, args.accept, args.num_workers, tell
        )
    return vars(report) | dict(is_well=report.is_well)


def summary(found: dict) -> str:
    """What is wrong, a line each, and how many are well."""
    from mmstadapter.printing import shown

    lines = [f'cannot be read: {shown(path)}/' for path in found['closed']]
    lines += [f'damaged: {shown(name)}: {why}' for name, why in found['wrong'].items()]
    lines += [f'changed since it was checked: {shown(name)}' for name in found['changed']]
    lines += [f'gone: {shown(name)}' for name in found['gone']]
    if found['changed'] or found['gone']:
        lines.append('The table keeps what these were; --accept takes what they are now.')
    lines.append(f'{found["table"]}: {found["good"]} good videos, {found["decoded"]} decoded now')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Check, and say what was found."""
    args = parse_args(argv)
    try:
        found = run(args)
        text = json.dumps(found, indent=1)
        if args.json not in (None, '-'):
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(text + '\n', encoding='utf-8')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit('Stopped. What was checked so far is kept; the same command goes on from there.')
    sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
    print(text if args.json == '-' else summary(found))
    sys.exit(not found['is_well'])
