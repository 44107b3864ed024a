"""Rank saved text-video features: recall, median and mean rank, both directions.

    mmstadapter retrieval-metrics FILE [--bootstrap 1000] [--dsl] [--qb-norm BANK] [--json OUT]

FILE is written by a test with `test_evaluator = dict(type='mmstadapter.TextVideoMetric',
save='FILE')`; BANK is such a file of training videos. DSL and QB-Norm look at more than one
query at a time and are printed apart.
"""

import argparse
import json
import sys
from pathlib import Path

from mmstadapter_cli import parser_of

WAYS = dict(t2v='text to video', v2t='video to text')
SECTIONS = {
    '': '',
    'dsl_with_all_queries/': 'DSL: uses all test queries at once, not comparable with the above',
    'qb_norm_with_query_bank/': 'QB-Norm: uses the bank of queries, not comparable with the above',
}
FIGURES = ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR', 'queries', 'tied')
UNITS = dict(K=2**10, M=2**20, G=2**30)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('retrieval-metrics', __doc__)
    add = parser.add_argument
    add('file', help='features of the test set')
    add('--ties', default='expected', help='expected, optimistic or pessimistic [expected]')
    add(
        '--gallery',
        default='videos',
        help="what videos are ranked against: videos (each by its best caption, as the authors' "
        'code does) or captions (each by itself) [videos]',
    )
    add('--tolerance', type=float, default=0.0, help='scores this close count as tied [0]')
    add('--bootstrap', type=int, default=0, metavar='N', help='replicates for 95%% intervals [0]')
    add('--dsl', action='store_true', help='also with dual softmax over all queries')
    add('--qb-norm', metavar='BANK', help='also with the queries of this file as a bank')
    add('--memory', type=in_bytes, default='256M', help='bound on the working blocks [256M]')
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    add('--json', metavar='OUT', help='write all figures to this file; - prints them alone')
    return parser.parse_args(argv)


def in_bytes(text: str) -> int:
    """'256M' -> 268435456; K, M and G are powers of 1024."""
    number, unit = (text[:-1], UNITS[text[-1].upper()]) if text[-1:].upper() in UNITS else (text, 1)
    return int(float(number) * unit)


def table(figures: dict[str, float]) -> str:
    """The figures as lines of text, the extras apart."""
    from mmstadapter.printing import in_columns

    parts = []
    for section, title in SECTIONS.items():
        if f'{section}t2v/R1' in figures:
            rows = [['', *FIGURES]]
            for way, words in WAYS.items():
                rows += rows_of(figures, f'{section}{way}/', words)
            parts.append(f'{title}\n{in_columns(rows, "lr")}'.lstrip())
    return '\n\n'.join(parts)


def rows_of(figures: dict[str, float], way: str, words: str) -> list[list[str]]:
    """The figures of a way, and the ends of their intervals if there are any."""
    kinds = dict(queries='d', tied='d', MdR='.1f')
    rows = [[words, *(f'{figures[way + name]:{kinds.get(name, ".2f")}}' for name in FIGURES)]]
    for edge, end in (('  95 % from', 'low'), ('  to', 'high')):
        if f'{way}R1_{end}' in figures:
            rows.append([edge, *(f'{figures[f"{way}{name}_{end}"]:.2f}' for name in FIGURES[:6])])
    return rows


def evaluate(args: argparse.Namespace) -> tuple[str, dict[str, float]]:
    """A line about the features, and their figures."""
    from mmstadapter import RetrievalFeatures, feature_metrics
    from mmstadapter.apis.device import choose_device

    features = RetrievalFeatures.load(args.file)
    figures = feature_metrics(
        features,
        dsl=args.dsl,
        bank=RetrievalFeatures.load(args.qb_norm) if args.qb_norm else None,
        memory=args.memory,
        device=choose_device(args.device),
        ties=args.ties,
        gallery=args.gallery,
        tolerance=args.tolerance,
        bootstrap=args.bootstrap,
    )
    return features.describe(), figures


def main(argv: list[str] | None = None) -> None:
    """Rank as the command line says."""
    args = parse_args(argv)
    try:
        about, figures = evaluate(args)
        text = json.dumps(figures, indent=1)
        lines = f'{args.file}: {about}; ties {args.ties}\n{table(figures)}'
        print(text if args.json == '-' else lines)
        if args.json not in (None, '-'):
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(text + '\n', encoding='utf-8')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
