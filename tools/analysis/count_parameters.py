"""Print tuned, frozen and total parameters of a config's model, per part.

    mmstadapter count CONFIG [--cfg-options KEY=VALUE ...]

Nothing is fetched: the model is built with a random trunk.
"""

import argparse

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmstadapter import shipped
from mmstadapter.engine.freeze_report import count_parameters, format_rows
from mmstadapter.launch import parse_options


def main() -> None:
    """Build the model and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of a config, or name of a shipped one')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config'
    )
    args = parser.parse_args()
    config = Config.fromfile(shipped.find_config(args.config))
    config.merge_from_dict(parse_options(args.cfg_options or []))
    init_default_scope(config.get('default_scope', 'mmaction'))
    print(format_rows(count_parameters(MODELS.build(config.model))))


if __name__ == '__main__':
    main()
