"""Print a model's tuned, frozen and total parameters, per part, and its operations.

    mmstadapter count stadapter_vit-b_k400.py
    mmstadapter count mine.py --cfg-options model.backbone.bottleneck_dims=96

Operations are multiply-adds of the backbone on one clip: matrix products, convolutions and
attention, which MMAction2's get_flops.py leaves out. Nothing is fetched: the model is built with
a random trunk.
"""

from mmstadapter_cli import config_path, parser_of


def main(argv: list[str] | None = None) -> None:
    """Build the model and print its table."""
    parser = parser_of('count', __doc__)
    parser.add_argument('config', type=config_path, help='a config, or the name of a shipped one')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config'
    )
    args = parser.parse_args(argv)
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmstadapter.analysis.costs import operations_of_clip
    from mmstadapter.engine.freeze_report import count_parameters, format_rows
    from mmstadapter.launch import parse_options

    config = Config.fromfile(args.config)
    config.merge_from_dict(parse_options(args.cfg_options or []))
    init_default_scope(config.get('default_scope', 'mmaction'))
    print(format_rows(count_parameters(MODELS.build(config.model))))
    operations = operations_of_clip(config)
    if operations:
        frames, count = operations
        print(f'{count / 1e9:,.1f} GMACs (1e9 multiply-adds) for a clip of {frames} frames')
