"""Write LoRA and DoRA as a folder of the library peft, or make an adapter file of such a folder.

    mmstadapter peft ADAPTER FOLDER                        # peft.PeftModel.from_pretrained reads it
    mmstadapter peft FOLDER ADAPTER --config CONFIG        # and what peft has saved comes back

ADAPTER is a .safetensors file as `mmstadapter fit` and `publish` write it, FOLDER holds
adapter_config.json and adapter_model.safetensors. Names are those of the model without LoRA
(backbone.trunk. ..., cls_head. ...), the classifier is one of peft's modules_to_save; --only
backbone.trunk writes one encoder with its own names. A folder of one encoder is read into it too.
Where CONFIG's encoders have no `lora`, it is taken from FOLDER; where they have, rank, scaling,
layers and DoRA must be those of FOLDER. Nothing of a file is executed.
"""

from pathlib import Path

from mmstadapter_cli import config_path, parser_of


def main(argv: list[str] | None = None) -> None:
    """Tell by the suffixes which way it goes."""
    parser = parser_of('peft', __doc__)
    parser.add_argument('source', type=Path, help='an adapter file, or a folder of peft')
    parser.add_argument('out', type=Path, help='the folder or the .safetensors file to write')
    parser.add_argument('--config', type=config_path, help='the model that a folder goes into')
    parser.add_argument('--only', metavar='ENCODER', help='write this encoder: backbone.trunk')
    parser.add_argument(
        '--checkpoint', help="the trunk's pretrained file or known name, if it has moved"
    )
    parser.add_argument('--force', action='store_true', help='replace existing files')
    args = parser.parse_args(argv)
    reads = args.source.is_dir()
    if reads is (args.config is None):
        parser.error('a folder goes into the model of --config, an adapter file has its own')
    if reads and (args.only or args.out.suffix != '.safetensors'):
        parser.error(f'a folder is read whole, into a .safetensors file, got {args.out}')
    if args.out.exists() and not args.force:
        parser.error(f'{args.out} exists; use --force to replace it')
    from mmstadapter.apis.peft_folder import adapter_of_folder, folder_of_adapter
    from mmstadapter.printing import printable

    try:
        if reads:
            adapter_of_folder(args.source, args.out, args.config, args.checkpoint)
        else:
            folder_of_adapter(args.source, args.out, args.only, args.checkpoint)
    except (OSError, ImportError, RuntimeError, TypeError, ValueError) as error:
        parser.exit(1, printable(f'{error}\n'))
    files = sorted(args.out.iterdir()) if args.out.is_dir() else [args.out]
    for file in files:
        print(printable(f'{file}: {file.stat().st_size / 2**20:.1f} MiB'))
