"""Draw where a model looks in a video, before and after adaptation.

    mmstadapter attention ADAPTER.safetensors VIDEO --out FOLDER [--head N]
    mmstadapter attention CONFIG CHECKPOINT VIDEO --out FOLDER

An adapter file, as `fit` and `publish` write it, holds its config; a checkpoint needs one.
Writes FOLDER/attention.png, a column a frame, and FOLDER/attention.mp4 (H.264), as Figure 3
of the ST-Adapter paper shows it: the attention of the last block, mean over heads. "Before"
is the image model as it was pretrained, with no adapter. Frames are those of the config's
test pipeline.
"""

import argparse
import sys
from pathlib import Path

from mmstadapter_cli import config_path, parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = parser_of('attention', __doc__)
    add = parser.add_argument
    help = 'a config, or the name of a shipped one [the one in the adapter file]'
    add('config', type=config_path, nargs='?', help=help)
    add('model', help='adapter file or checkpoint')
    add('video', type=Path, help='any video file')
    add('--out', type=Path, required=True, help='folder of the picture and the video')
    add('--checkpoint', help="the trunk's pretrained file [the one named in the adapter file]")
    add('--head', type=int, help='one head, from 0 [mean over heads]')
    add('--view', type=int, help='one of the test views, from 0 [the middle one]')
    add('--fps', type=int, default=3, help='frames a second of the video [3]')
    add('--device', help='cpu, cuda ... [the accelerator, if there is one]')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    args = parser.parse_args(argv)
    if not args.video.is_file():
        parser.error(f'no video {args.video}')
    if args.config is None and args.cfg_options:
        parser.error('--cfg-options change a config; give one')
    if args.config is not None and args.checkpoint:
        parser.error('--checkpoint is for an adapter file alone; change the config instead')
    return argparse.Namespace(**vars(args), launcher='none', work_dir=None)


def main(argv: list[str] | None = None) -> None:
    """Look, draw and write."""
    args = parse_args(argv)
    from mmstadapter import launch
    from mmstadapter.analysis.attention import (
        image_model,
        moved,
        picture,
        read_adapter,
        read_clip,
        see,
        write_video,
    )
    from mmstadapter.datasets.packets import VideoReadError

    try:
        if args.config is None:
            cfg, model = read_adapter(args.model, args.checkpoint, args.device)
        else:
            cfg = launch.read_config(args)
            model = launch.load_model(cfg, args.model, args.device)
        clip = read_clip(cfg, args.video, args.view)
        seen = see(model, image_model(model, cfg), clip, args.head)
    except (FileNotFoundError, RuntimeError, TypeError, ValueError, VideoReadError) as error:
        sys.exit(str(error))
    args.out.mkdir(parents=True, exist_ok=True)
    picture(seen).savefig(args.out / 'attention.png')
    write_video(seen, args.out / 'attention.mp4', args.fps)
    print(f'{len(seen.frames)} frames; {100 * moved(seen):.1f} % of the attention moved')
    print(f'{args.out / "attention.png"}, {args.out / "attention.mp4"}')
