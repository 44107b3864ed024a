"""Write the tuned part of a trained checkpoint as one safetensors file.

    mmstadapter publish CONFIG CHECKPOINT OUT.safetensors [--labels FILE] [--probe best] ...

The file holds adapters, classifier and statistics, and in its metadata the method, the
config, the trunk's fingerprint, the label names and the preprocessing. It loads wherever
MMAction2 takes a checkpoint, and loading it executes no code. Of several probes trained together
(`ProbesHead`) --probe takes one, which then is a model of its own: by its name, lr0.001_wd0.1, by
its number from 0, or the best of the validation at the checkpoint's epoch.

With --validation, the predictions that `mmstadapter test --dump` wrote of the validation set, the
file also holds the score below which a prediction is "none of these": the largest that at most
5 % of these clips lie below.
"""

from pathlib import Path
from typing import Any

from mmstadapter_cli import config_path, parser_of


def main(argv: list[str] | None = None) -> None:
    """Load the checkpoint onto its trunk and write the adapter file."""
    parser = parser_of('publish', __doc__)
    parser.add_argument('config', type=config_path, help='a config, or the name of a shipped one')
    parser.add_argument('checkpoint', help='the trained checkpoint')
    parser.add_argument('out', type=Path, help='the .safetensors file to write')
    parser.add_argument('--labels', type=Path, help='label names, one a line')
    parser.add_argument('--probe', metavar='NAME', help='this probe alone: name, number or best')
    parser.add_argument(
        '--validation', type=Path, metavar='FILE.pkl', help='predictions of the validation set'
    )
    parser.add_argument(
        '--none-fraction',
        type=float,
        default=0.05,
        help='share of its clips that may be called none of these [0.05]',
    )
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    if args.out.suffix != '.safetensors':
        parser.error(f'OUT must end in .safetensors, got {args.out}')
    if args.out.exists() and not args.force:
        parser.error(f'{args.out} exists; use --force to replace it')
    from mmengine.config import Config

    from mmstadapter.analysis.predictions import read_predictions
    from mmstadapter.apis.building import build_model
    from mmstadapter.apis.none_of_these import calibrated
    from mmstadapter.apis.one_probe import take_probe
    from mmstadapter.datasets.files import read_lines
    from mmstadapter.engine.tuned_checkpoint import write_adapter
    from mmstadapter.printing import printable

    metadata: dict[str, Any] = {}
    try:
        config, weights = Config.fromfile(args.config), args.checkpoint
        if args.probe is not None:
            metadata['probe'], config, weights = take_probe(config, args.checkpoint, args.probe)
        scope = config.get('default_scope', 'mmaction')
        model = build_model(config.model, weights, pretrained=True, scope=scope)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        parser.exit(1, printable(f'{error}\n'))
    except KeyError as error:  # whose text is the message in quotes
        parser.exit(1, printable(f'{error.args[0]}\n'))
    if args.labels:
        if not hasattr(model, 'cls_head'):
            parser.error(f'--labels: {type(model).__name__} has no classes')
        labels = read_lines(args.labels)
        if len(labels) != model.cls_head.num_classes:
            parser.error(
                f'{args.labels} holds {len(labels)} names, the model has '
                f'{model.cls_head.num_classes} classes'
            )
        metadata['labels'] = labels
    try:
        if args.validation:
            scores, own = read_predictions(args.validation)
            metadata['none_of_these'] = calibrated(scores[own >= 0].max(1), args.none_fraction)
        write_adapter(args.out, model, config, **metadata)
    except (OSError, ValueError) as error:
        parser.exit(1, printable(f'{error}\n'))
    probe = f', probe {metadata["probe"]}' if args.probe else ''
    print(f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB{probe}')
