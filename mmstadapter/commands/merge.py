"""Take trained LoRA, DoRA or ZeroI2V's adapters into the model: same scores, no extra cost.

    mmstadapter merge ADAPTER OUT.safetensors [--trunk CLIP.safetensors]

ADAPTER is a file that `mmstadapter fit` or `mmstadapter publish` wrote. OUT is a whole model for
`mmstadapter predict` and whatever else takes an adapter file: without LoRA, and of ZeroI2V a plain
CLIP with heads that look at other frames, `ZeroI2VViT` with `adapters=()`; of TempMe both towers
without low-rank maps, `lora_dims=0`, whose tokens merge as before. It holds the encoders
that were changed in float32 and needs no pretrained file for them. Its outputs agree with
ADAPTER's to about 1e-6. What else was trained, such as ST-Adapters, stays as it is.

--interpolate SHARE sets every encoder that was trained, whole or by LoRA, between its pretrained
weights (0) and the trained ones (1), as WiSE-FT and Open-VCLIP do; the classifier stays:

    mmstadapter merge ADAPTER HALF.safetensors --interpolate 0.5
    mmstadapter test zeroshot_vit-b_ucf101.py HALF.safetensors

--trunk writes the merged image model alone besides, under OpenAI's names (of EVA's under EVA's),
for `model.backbone.trunk.checkpoint` of a config without `lora`, or with
`model.backbone.adapters=()`.
"""

from pathlib import Path

from mmstadapter_cli import parser_of


def main(argv: list[str] | None = None) -> None:
    """Read the adapter onto its trunk, merge, write."""
    parser = parser_of('merge', __doc__)
    parser.add_argument('adapter', type=Path, help='a file of `mmstadapter fit` or `publish`')
    parser.add_argument('out', type=Path, help='the .safetensors file to write')
    parser.add_argument('--trunk', type=Path, help='write the merged image model to this file too')
    parser.add_argument(
        '--checkpoint', help="the trunk's pretrained file or known name, if it has moved"
    )
    parser.add_argument(
        '--interpolate', type=float, metavar='SHARE', help='of the trained weights, 0 to 1'
    )
    parser.add_argument('--force', action='store_true', help='replace existing files')
    args = parser.parse_args(argv)
    files = [file for file in (args.out, args.trunk) if file is not None]
    for file in files:
        if file.suffix != '.safetensors':
            parser.error(f'{file} must end in .safetensors')
        if file.exists() and not args.force:
            parser.error(f'{file} exists; use --force to replace it')
    if len({file.resolve() for file in (args.adapter, *files)}) <= len(files):
        parser.error('ADAPTER, OUT and --trunk must be different files')
    from mmstadapter.apis.merging import merge
    from mmstadapter.printing import printable

    try:
        merge(args.adapter, args.out, args.trunk, args.checkpoint, args.interpolate)
    except (FileNotFoundError, RuntimeError, TypeError, ValueError) as error:
        parser.exit(1, printable(f'{error}\n'))
    for file in files:
        print(printable(f'{file}: {file.stat().st_size / 2**20:.1f} MiB'))
