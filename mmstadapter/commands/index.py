"""Index a folder of videos, so that `mmstadapter search` finds in them what a sentence says.

    mmstadapter index VIDEO_DIR [--index work_dirs/index] [--config CONFIG --checkpoint FILE]
    mmstadapter index VIDEO_DIR --checkpoint work_dirs/fit_captions/adapter.safetensors

On several GPUs or machines each process reads a share of the videos, and one writes:

    torchrun --nproc_per_node 4 -m mmstadapter index VIDEO_DIR

Called again it reads only what is new or changed, and goes on where it was stopped. Videos
that cannot be decoded are listed; the exit status is 1 if none could be.
"""

import argparse
import json
import sys
from pathlib import Path

from mmstadapter_cli import parser_of

CONFIG, INDEX, SECONDS = 'zeroshot_vit-b32_msrvtt.py', 'work_dirs/index', 10.0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('index', __doc__)
    add = parser.add_argument
    add('videos', help='the folder; videos may lie in folders in it')
    add('--index', default=INDEX, help=f'folder of the index [{INDEX}]')
    add('--config', help="a retrieval config [the index's; for a new one that in the adapter file, "
        f'or {CONFIG}]')  # fmt: skip
    add('--checkpoint', help='its trained weights, or an adapter file; zero-shot CLIP needs none')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='changes to the config')
    add('--seconds', type=float, help=f'length of a segment, 0 for whole videos [{SECONDS:g}]')
    add('--batch-size', type=int, default=8, help='segments the model takes at a time [8]')
    add('--num-threads', type=int, default=2, help='videos decoded at the same time [2]')
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    add('--silence', type=float, default=60, help='seconds after which a process of several that '
        'says nothing ends the run [60]')  # fmt: skip
    add('--retry', action='store_true', help='try videos again that could not be decoded')
    add('--moved', action='store_true', help='the videos of the index lie in this folder now')
    add('--json', metavar='OUT', help='write what was done to this file; - prints it')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict:
    """Index as the command line says."""
    from mmstadapter import SearchModel, index_videos
    from mmstadapter.launch import parse_options
    from mmstadapter.search.adapters import is_adapter
    from mmstadapter.search.joining import local_device
    from mmstadapter.search.manifest import Manifest
    from mmstadapter.search.storage import MANIFEST

    options = parse_options(args.cfg_options or [])
    if not Path(args.videos).is_dir():  # before weights are fetched
        raise NotADirectoryError(f'index: no folder {args.videos}. Give a folder of videos.')
    index = Path(args.index)
    there = Manifest.read(index) if (index / MANIFEST).is_file() else None
    device = local_device(args.device)
    if there is not None and args.config is None:
        model = SearchModel.of_index(there.model, args.checkpoint, device, options)
    else:
        usual = None if is_adapter(args.checkpoint) else CONFIG
        model = SearchModel(args.config or usual, args.checkpoint, device, options)
    print(f'model: {model.name}, {model.checkpoint or "pretrained weights alone"}, {model.device}')
    length = SECONDS if there is None else there.seconds
    seconds = length if args.seconds is None else args.seconds
    report = index_videos(
        args.videos,
        args.index,
        model,
        seconds,
        args.batch_size,
        args.num_threads,
        args.retry,
        args.moved,
    )
    return report.asdict()


def summary(report: dict, index: str) -> str:
    """What was done, and what could not be read or decoded."""
    from mmstadapter.printing import shown

    lines = [f'cannot be read: {shown(path)}/' for path in report['closed']]
    lines += [f'cannot be decoded: {shown(path)}: {why}' for path, why in report['bad'].items()]
    lines.append(f'{index}: {report["segments"]} segments of {report["videos"]} videos')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Index, and say what was done."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs
        from mmstadapter.search.joining import joined

        with logs.on_stderr(), joined(args.silence) as speaks:
            report = run(args)
        if not speaks:
            return
        text = json.dumps(report, indent=1)
        if args.json not in (None, '-'):
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(text + '\n', encoding='utf-8')
    except KeyError as error:  # whose text is the message in quotes
        sys.exit(str(error.args[0]))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit('\n'.join([str(error), *getattr(error, '__notes__', [])]))
    except KeyboardInterrupt:
        sys.exit('Stopped. What was indexed so far is kept; the same command goes on from there.')
    sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
    print(text if args.json == '-' else summary(report, args.index))
    sys.exit(bool(report['bad']) and not report['segments'])
