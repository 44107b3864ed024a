"""Train a model.

    mmstadapter train CONFIG [--work-dir DIR] [--resume [FILE]] [--amp] ...

CONFIG is a path, or the name of a config that comes with the package
(`stadapter_vit-b_k400.py`). The options are those of MMAction2's train.py; `dist_train.sh`
starts several processes.
"""

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from mmstadapter_cli import config_path, parser_of

if TYPE_CHECKING:
    from mmengine.config import Config

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; nothing heavy is imported for it, `--help` answers at once."""
    parser = parser_of('train', __doc__)
    add = parser.add_argument
    add('config', type=config_path, help='a config, or the name of a shipped one')
    add('--work-dir', help='folder for logs and checkpoints [work_dirs/<config>]')
    add(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from this checkpoint, or without a value from the latest in the work dir',
    )
    add('--amp', action='store_true', help='mixed precision')
    add('--compile', action='store_true', help='compile the encoders with torch.compile')
    add('--no-validate', action='store_true', help='do not evaluate during training')
    add('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    add('--seed', type=int, help="random seed instead of the config's")
    add('--diff-rank-seed', action='store_true', help='another seed in every process')
    add('--deterministic', action='store_true', help='deterministic CUDNN operators')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    add('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def apply_args(cfg: 'Config', args: argparse.Namespace) -> None:
    """Write the options of the command line into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        use_mixed_precision(cfg)
    if args.compile:
        cfg.compile = cfg.get('compile') or True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise SystemExit(
                '--auto-scale-lr needs the batch size that the learning rate was chosen for: '
                'auto_scale_lr = dict(base_batch_size=...) in the config.'
            )
        cfg.auto_scale_lr.enable = True
    chosen = dict(seed=args.seed, diff_rank_seed=args.diff_rank_seed or None)
    chosen['deterministic'] = args.deterministic or None
    randomness = {key: value for key, value in chosen.items() if value is not None}
    cfg.randomness = dict(cfg.get('randomness') or dict(seed=None)) | randomness


def use_mixed_precision(cfg: 'Config') -> None:
    """Exchange a plain optimiser wrapper for the one with autocast; keep one that has it."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if str(kind).endswith('AmpOptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise SystemExit(f'--amp cannot replace the optimiser wrapper {kind}.')
    cfg.optim_wrapper.type = 'mmstadapter.AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse_args(argv)
    from mmstadapter import launch

    cfg = launch.read_config(args)
    apply_args(cfg, args)
    try:
        launch.build_runner(cfg).train()
    except KeyboardInterrupt:
        end_by_hand(cfg, ['train', *(sys.argv[1:] if argv is None else argv)], args.resume)
    launch.leave_processes()


def end_by_hand(cfg: 'Config', words: list[str], resumed: str | None) -> NoReturn:
    """End after Ctrl-C with one line that says what is kept and how to go on."""
    from mmstadapter.runs.interrupted import how_to_go_on

    alone = cfg.launcher == 'none'
    if int(os.environ.get('RANK', 0)) == 0:
        print(f'\n{how_to_go_on(cfg.work_dir, words, resumed, alone)}', file=sys.stderr)
    if alone:
        sys.exit(INTERRUPTED)
    os._exit(INTERRUPTED)  # an exchange under way would be waited for
