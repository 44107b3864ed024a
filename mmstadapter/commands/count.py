"""Print tuned, frozen and total parameters of a config's model, per part.

    mmstadapter count CONFIG [--cfg-options KEY=VALUE ...]

Nothing is fetched: the model is built with a random trunk.
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

    from mmstadapter.engine.freeze_report import count_parameters, format_rows
    from mmstadapter.launch import parse_options

    config = Config.fromfile(args.config)
    config.merge_from_dict(parse_options(args.cfg_options or []))
    init_default_scope(config.get('default_scope', 'mmaction'))
    print(format_rows(count_parameters(MODELS.build(config.model))))
