"""Draw the curves of training runs: loss, accuracy, whatever was logged.

    mmstadapter plot work_dirs/mine
    mmstadapter plot work_dirs/a work_dirs/b --keys loss acc/top1 lr --out compared.png

Reads what every run writes, WORK_DIR/*/vis_data/scalars.json, also while it goes on. Without
--keys the loss, top-1 and R@1 are drawn.
"""

from pathlib import Path

from mmstadapter_cli import parser_of


def main(argv: list[str] | None = None) -> None:
    """Read, draw, and print the last values."""
    parser = parser_of('plot', __doc__)
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN', help='work dirs')
    parser.add_argument('--keys', nargs='+', metavar='KEY', help='what to draw')
    parser.add_argument('--out', type=Path, default=Path('curves.png'), help='[curves.png]')
    args = parser.parse_args(argv)
    from mmstadapter.analysis.curves import choose_keys, draw, read_run

    try:
        runs = {str(run): read_run(run) for run in args.runs}
        keys = choose_keys(runs, args.keys)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw(runs, keys, args.out)
    except (OSError, ValueError) as error:
        parser.exit(1, f'{error}\n')
    for name, series in runs.items():
        last = [f'{key} {series[key][-1][1]:.4g}' for key in keys if key in series]
        print(f'{name}: {", ".join(last)}')
    print(args.out)
