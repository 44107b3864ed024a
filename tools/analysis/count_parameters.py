"""Print tuned, frozen and total parameters of a config's model, per part.

    python tools/analysis/count_parameters.py CONFIG [--cfg-options KEY=VALUE ...]

Nothing is fetched: the model is built with a random trunk.
"""

import argparse

from mmaction.registry import MODELS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmstadapter import shipped
from mmstadapter.engine.freeze_report import count_parameters, format_rows


def main() -> None:
    """Build the model and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args()
    config = Config.fromfile(shipped.find_config(args.config))
    config.merge_from_dict(args.cfg_options)
    init_default_scope(config.get('default_scope', 'mmaction'))
    print(format_rows(count_parameters(MODELS.build(config.model))))


if __name__ == '__main__':
    main()
