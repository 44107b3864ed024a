"""Say what a training takes of a card: memory, the least time, the largest batch.

    mmstadapter plan stadapter_vit-b_k400.py --gpu 4090
    mmstadapter plan side4video_vit-e_k400.py --gpu-memory 24 --batch-size 4
    mmstadapter plan mine.py --gpus 8 --json --cfg-options model.backbone.recompute=mlp

Counts a step on tensors without content: nothing is fetched, no GPU is needed, and ViT-E/14 takes
no memory. Prints the peak by kind, what each module keeps for the backward pass, the time that the
card cannot go below, the largest batch that fits it, and what each setting would save and cost.
Ends with status 1 where not even one video fits.
"""

import json
import sys

from mmstadapter_cli import config_path, parser_of


def main(argv: list[str] | None = None) -> None:
    """Plan what the command line says."""
    parser = parser_of('plan', __doc__)
    add = parser.add_argument
    add('config', type=config_path, help='a config, or the name of a shipped one')
    add('--gpu', help='the card, for its speed and memory: h100, a100, 4090 ... [h100]')
    add('--gpu-memory', type=float, metavar='GB', help='memory to fit, 1e9 bytes [that of --gpu]')
    add('--batch-size', type=int, help="videos a card and step [the config's]")
    add('--gpus', type=int, default=1, help='cards that train together [1]')
    add('--json', action='store_true', help='print data for tools')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    args = parser.parse_args(argv)
    wrong = [f'--{n.replace("_", "-")} {v}' for n, v in vars(args).items() if _not_positive(v)]
    if wrong:
        parser.error(f'{" ".join(wrong)}: must be more than 0')
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmstadapter.launch import parse_options
    from mmstadapter.planning.cards import DEFAULT, find_card
    from mmstadapter.planning.plan import Plan
    from mmstadapter.planning.step import TrainingStep

    try:
        card = find_card(args.gpu or DEFAULT)
        config = Config.fromfile(args.config)
        config.merge_from_dict(parse_options(args.cfg_options or []))
        init_default_scope(config.get('default_scope', 'mmaction'))
        if args.batch_size:
            config.merge_from_dict({'train_dataloader.batch_size': args.batch_size})
        plan = Plan(TrainingStep(config, args.gpus), card, args.gpu_memory or card.memory)
    except ValueError as error:
        sys.exit(str(error))
    if args.json:
        print(json.dumps(plan.data(), indent=2))
    else:
        for line in plan.lines():
            print(line, flush=True)
    if not plan.largest:
        sys.exit(plan.what_to_change())


def _not_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= 0
