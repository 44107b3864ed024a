"""Print tuned, frozen and total parameters of a config's model, per part.

    python tools/analysis/count_parameters.py CONFIG [--cfg-options KEY=VALUE ...]

Nothing is fetched: the model is built with a random trunk.
"""

import argparse

from mmaction.registry import MODELS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

import mmstadapter
from mmstadapter import host


def main() -> None:
    """Build the model and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args()
    config = Config.fromfile(host.find_config(args.config))
    config.merge_from_dict(args.cfg_options)
    init_default_scope(config.get('default_scope', 'mmaction'))
    print(mmstadapter.freeze_report(MODELS.build(config.model)))


if __name__ == '__main__':
    main()
