"""Measure what a model loses, class by class, when the frames of its videos lose their order.

    mmstadapter time-use CONFIG CHECKPOINT [--labels FILE] [--out FILE.json]

Tests on the config's test set with the frames of each clip in order, shuffled, reversed, and
frozen (the middle one repeated). A model that does not look at their order loses nothing when
they are shuffled or reversed; frozen, it may lose, as it sees one moment in place of several.
Prints a table, the largest loss first, and writes all numbers as JSON.
"""

import argparse
import json
import sys
from pathlib import Path

from mmstadapter_cli import config_path, parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = parser_of('time-use', __doc__)
    add = parser.add_argument
    add('config', type=config_path, help='a config, or the name of a shipped one')
    add('checkpoint', help='checkpoint or adapter file')
    add('--labels', type=Path, help='label names, one a line')
    add('--out', type=Path, help='JSON file [<work dir of the config>/time_use.json]')
    add('--seed', type=int, default=0, help='of the shuffled orders [0]')
    add('--device', help='cpu, cuda ... [the accelerator, if there is one]')
    add('--work-dir', help='folder of the JSON file [work_dirs/<config>]')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    args = parser.parse_args(argv)
    if args.labels is not None and not args.labels.is_file():
        parser.error(f'no file {args.labels}')
    return argparse.Namespace(**vars(args), launcher='none')


def main(argv: list[str] | None = None) -> None:
    """Test, print and write."""
    args = parse_args(argv)
    from mmstadapter import launch
    from mmstadapter.analysis.time_use import build_loader, compare, read_names, report, table

    try:
        cfg = launch.read_config(args)
        names = read_names(args.labels, args.checkpoint)
        model = launch.load_model(cfg, args.checkpoint, args.device)
        result = report(*compare(model, build_loader(cfg), args.seed), names)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    out = args.out or Path(cfg.work_dir) / 'time_use.json'
    out.parent.mkdir(parents=True, exist_ok=True)
    origin = dict(config=args.config, checkpoint=args.checkpoint, seed=args.seed)
    out.write_text(json.dumps(origin | result, indent=1) + '\n', encoding='utf-8')
    print(f'{table(result)}\n\nTop-1 in per cent; written to {out}')
