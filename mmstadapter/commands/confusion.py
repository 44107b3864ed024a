"""Show which class is taken for which, from the predictions of a test.

    mmstadapter test CONFIG CHECKPOINT --dump predictions.pkl
    mmstadapter confusion predictions.pkl --labels labels.txt [--out confusion.png]

Writes the picture, and beside it the counts and each class's accuracy as JSON. Prints the
classes from the worst on, each with what it is most often taken for.
"""

import argparse
import json
from pathlib import Path

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('confusion', __doc__)
    add = parser.add_argument
    add('predictions', type=Path, help='the file that `mmstadapter test --dump` wrote')
    add('--labels', type=Path, help='names of the classes, one a line [their numbers]')
    add('--out', type=Path, default=Path('confusion.png'), help='the picture [confusion.png]')
    add('--worst', type=int, default=10, help='classes to print [10]')
    return parser.parse_args(argv)


def table(result: dict, count: int) -> str:
    """The classes with the lowest accuracy, a line each."""
    names, counts = result['labels'], result['counts']
    tested = [i for i, name in enumerate(names) if result['per_class'][name] is not None]
    lines = []
    for i in sorted(tested, key=lambda i: (result['per_class'][names[i]], names[i]))[:count]:
        wrong = {
            name: n for j, (name, n) in enumerate(zip(names, counts[i], strict=True)) if j != i
        }
        most = max(wrong, key=wrong.__getitem__, default='')
        taken = f'  taken for {most} ({wrong[most]} times)' if most and wrong[most] else ''
        lines.append(f'{result["per_class"][names[i]]:6.1f} %  {names[i]}{taken}')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int | str:
    """Read, draw, print."""
    args = parse_args(argv)
    from mmstadapter.analysis.predictions import read_predictions
    from mmstadapter.apis.results import confusion_matrix, draw_confusion, summary
    from mmstadapter.datasets.files import read_lines

    try:
        scores, own = read_predictions(args.predictions)
        names = [str(i) for i in range(scores.shape[1])]
        if args.labels is not None:
            names = read_lines(args.labels)
        if len(names) != scores.shape[1]:
            raise ValueError(
                f'confusion: {args.labels} holds {len(names)} names, the predictions are of '
                f'{scores.shape[1]} classes.'
            )
        known = own >= 0
        matrix = confusion_matrix(scores[known], own[known])
        result = summary(matrix, names, int((~known).sum()))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_confusion(matrix, names, args.out)
        text = json.dumps(result, indent=1, ensure_ascii=False) + '\n'
        args.out.with_suffix('.json').write_text(text, encoding='utf-8')
    except (OSError, ValueError) as error:
        return str(error)
    print(f'top-1 {result["top1"]:.1f} % of {result["videos"]} videos')
    print(table(result, args.worst))
    print(f'{args.out}, {args.out.with_suffix(".json")}')
    return 0
