"""Rename a weights file from one origin's names to another's; nothing in it is executed.

    mmstadapter convert --from st-adapter --to mmstadapter SRC DST
    mmstadapter convert --from openai-clip --to hf-clip openai/ViT-B-16 DST
    mmstadapter convert --from openai-clip-text --to mmstadapter openai/ViT-B-16 DST

SRC is a file or a known name, DST ends in .safetensors or .pth. CLIP files (openai-clip,
open_clip, hf-clip, eva-clip) and those of SigLIP and PE-Core (siglip-open_clip, siglip-hf,
pe-open_clip) hold an image tower: `mmstadapter` then means a file for
`model.backbone.trunk.checkpoint`, of the last three under timm's names. The names with -text
take the text tower out of the same files, for `model.text_tower.checkpoint`. Files of
st-adapter hold a recogniser, or its trained part alone as the official code saves it:
`mmstadapter` then means a checkpoint for `load_from` and `mmstadapter test`, whose trunk
supplies what the file lacks. Files of side4video-clip and side4video-eva hold recognisers too,
running statistics included.

Tensors go from file to file one by one: writing a .safetensors file of any size takes about
1.5 GB of memory, a .pth file may take its own size besides.
"""

from pathlib import Path

from mmstadapter_cli import parser_of

NAMES = (  # as `weights.SOURCES`, which a test keeps alike
    'mmstadapter',
    'openai-clip',
    'open_clip',
    'hf-clip',
    'eva-clip',
    'eva-open_clip',
    'siglip-open_clip',
    'siglip-hf',
    'pe-open_clip',
    'aim',
    'aim-imagenet',
    'clip4clip',
    'dist',
    'evl',
    'side4video-clip',
    'side4video-eva',
    'side4video-retrieval',
    'side4video-retrieval-eva',
    'st-adapter',
    'tds-clip',
    'tempme',
    'vjepa2-probe',
    'vjepa2-probes',
    'zeroi2v',
    'openai-clip-text',
    'open_clip-text',
    'open_clip-module-text',
    'hf-clip-text',
    'eva-clip-text',
    'siglip-open_clip-text',
    'siglip-hf-text',
)


def main(argv: list[str] | None = None) -> None:
    """Read, rename, write, report."""
    parser = parser_of('convert', __doc__)
    parser.add_argument('--from', dest='origin', choices=NAMES, required=True)
    parser.add_argument('--to', dest='target', choices=NAMES, required=True)
    parser.add_argument('src', help='a file, or a known name such as openai/ViT-B-16')
    parser.add_argument('dst', type=Path, help='a .safetensors or .pth file to write')
    parser.add_argument('--force', action='store_true', help='replace an existing DST')
    args = parser.parse_args(argv)
    if args.dst.suffix not in ('.safetensors', '.pth'):
        parser.error(f'DST must end in .safetensors or .pth, got {args.dst}')
    if args.dst.exists() and not args.force:
        parser.error(f'{args.dst} exists; use --force to replace it')
    from mmstadapter.printing import printable
    from mmstadapter.weights import locate, open_tensors, require_numbers
    from mmstadapter.weights.converting import convert, report, write

    try:
        tensors = open_tensors(locate(args.src))
        require_numbers(tensors, args.src)
        written = convert(tensors, args.origin, args.target)
        write(args.dst, written, args.target)
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        parser.exit(1, printable(f'{parser.prog}: {reason}\n'))
    report(tensors, written, args.origin)
    print(f'{args.dst}: {args.dst.stat().st_size / 2**20:.1f} MiB, named as in {args.target}')
