"""Decode the videos of a config once, so that its later epochs decode none.

    mmstadapter cache stadapter_vit-b_k400.py --out work_dirs/cache --short-side 256 --jpeg 95
    mmstadapter train stadapter_vit-b_k400.py --cfg-options cache=work_dirs/cache

Without --short-side and --jpeg training sees the same frames bit for bit. Size and time are told
before anything is written (--dry-run ends there); a disk with too little room is refused. Called
again it decodes what is new or changed, and goes on where it was stopped.
"""

import argparse
import os
import sys
from pathlib import Path

from mmstadapter_cli import config_path, parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('cache', __doc__)
    add = parser.add_argument
    add('config', type=config_path, help='a config, or the name of a shipped one')
    add('--out', required=True, help='folder of the cache')
    kinds = ('train', 'val', 'test')
    add('--loaders', nargs='+', default=['train'], choices=kinds, help='whose videos [train]')
    add('--short-side', type=int, metavar='PIXELS', help='shrink frames to this [as decoded]')
    add('--jpeg', type=int, metavar='QUALITY', help='store JPEG of 1 to 100 [every bit]')
    add('--num-workers', type=int, default=min(8, os.cpu_count() or 1), help='processes')
    add('--dry-run', action='store_true', help='say what it would take, and end')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> str:
    """Cache as the command line says, and say what was done."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmstadapter.apis.caching import MARGIN, cache_videos, estimate, videos_of
    from mmstadapter.config_fields import choose_split
    from mmstadapter.datasets.clip_cache import Storing
    from mmstadapter.launch import parse_options
    from mmstadapter.printing import shown
    from mmstadapter.progress import Progress

    how = Storing(args.short_side, args.jpeg)
    if args.num_workers < 1:
        raise ValueError(f'cache: num_workers must be at least 1, got {args.num_workers}.')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(parse_options(args.cfg_options or []))
    choose_split(cfg)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    needed = estimate(videos_of(cfg, args.loaders), args.out, how)
    print(needed, flush=True)
    if args.dry_run:
        return 'Nothing was written.'
    if needed.nbytes * MARGIN > needed.free:
        raise OSError(
            f'cache: {needed.nbytes / 1e9:.2f} GB do not fit the {needed.free / 1e9:.2f} GB that '
            f'are free for {args.out}. Choose --short-side, --jpeg 95, or another disk.'
        )
    Path(args.out).mkdir(parents=True, exist_ok=True)
    with Progress('videos', len(needed.todo)) as bar:
        report = cache_videos(needed.todo, args.out, how, args.num_workers, bar.done)
    lines = [f'cannot be decoded: {shown(path)}: {why}' for path, why in report.wrong.items()]
    if args.jpeg and report.stored:
        mean, largest = report.error
        lines.append(
            f'JPEG {args.jpeg}: {mean:.2f} grey levels from the frames on average, {largest:.0f} '
            'at most.'
        )
    lines.append(
        f'{args.out}: {needed.videos} videos, {report.stored} decoded now, '
        f'{report.nbytes / 1e9:.2f} GB. Train with --cfg-options cache={args.out}'
    )
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Cache, and say what was done."""
    args = parse_args(argv)
    try:
        text = run(args)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit('Stopped. What was decoded so far is kept; the same command goes on from there.')
    print(text)
