"""Test a checkpoint.

    mmstadapter test CONFIG [CHECKPOINT] [--dump FILE.pkl] [--work-dir DIR] ...

CONFIG is a path, or the name of a config that comes with the package. CHECKPOINT may hold
tuned weights only; `none` tests the model as it starts, with the pretrained files alone
(zero-shot recognition and retrieval), which is what a recipe that trains nothing does without a
CHECKPOINT. The options are those of MMAction2's test.py; `dist_test.sh` starts
several processes.
"""

import argparse
import os
from typing import TYPE_CHECKING

from mmstadapter_cli import config_path, parser_of

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; nothing heavy is imported for it, `--help` answers at once."""
    parser = parser_of('test', __doc__)
    add = parser.add_argument
    add('config', type=config_path, help='a config, or the name of a shipped one')
    add('checkpoint', nargs='?', help='checkpoint file, or none: pretrained files alone')
    add('--work-dir', help='folder for logs and metrics [work_dirs/<config>]')
    add('--dump', metavar='FILE.pkl', help='write the predictions to this file')
    add('--show-dir', help='folder for drawn predictions')
    add('--show', action='store_true', help='show drawn predictions in a window')
    add('--interval', type=int, default=1, help='draw every so many samples')
    add('--wait-time', type=float, default=2, help='seconds a window stays')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    add('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.dump is not None and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump writes a pickle: name it FILE.pkl, got {args.dump}')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def apply_args(cfg: 'Config', args: argparse.Namespace) -> None:
    """Write the options of the command line into the config."""
    cfg.load_from = None if args.checkpoint in (None, 'none') else args.checkpoint
    cfg.resume = False
    if args.dump is not None:
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, list | tuple) else [evaluators]
        dump = dict(type='DumpResults', out_file_path=args.dump)
        cfg.test_evaluator = [*evaluators, dump]
    if args.show or args.show_dir is not None:
        drawing = dict(type='mmstadapter.DrawingHook', out_dir=args.show_dir, show=args.show)
        drawing.update(interval=args.interval, wait_time=args.wait_time)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), drawing]


def main(argv: list[str] | None = None) -> None:
    """Test as the command line says."""
    args = parse_args(argv)
    from mmstadapter import launch

    cfg = launch.read_config(args)
    apply_args(cfg, args)
    runner = launch.build_runner(cfg)
    if args.checkpoint is None:
        launch.require_untrained(runner.model)
    if args.checkpoint in (None, 'none'):
        launch.init_weights(runner)
    runner.test()
    del runner
    launch.leave_processes()
