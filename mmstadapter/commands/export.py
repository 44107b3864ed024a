"""Write a model as a file that runs without this package: ONNX, or PyTorch's archive pt2.

    mmstadapter export ADAPTER --to onnx                        # adapter.onnx, beside it
    mmstadapter export CONFIG CHECKPOINT --to pt2 --out model.pt2
    mmstadapter export ADAPTER --to onnx --int8 --out small.onnx

Input are clips, of a retriever's text tower token ids; the batch is open, frames are where the
method allows. How clips are made (size, mean, deviation, frames, sampling, views) and the labels
stand in the file. A retriever becomes two files, OUT.video.onnx and OUT.text.onnx.

The file is run at other sizes than it was made with and compared with the model. It gets its
name only if it is equal within 1e-5 (as a share of the largest number where that is above 1).
With --int8 the difference is printed and nothing refused. All is float32, also of trunks that are
stored in 16 bit. Weights of 2 GiB and more lie in OUT.data beside OUT.

ONNX needs pip install 'mmstadapter[export]'; pt2 needs PyTorch alone, also where it is read.
"""

from pathlib import Path

from mmstadapter_cli import parser_of


def main(argv: list[str] | None = None) -> None:
    """Export as the command line says."""
    parser = parser_of('export', __doc__)
    add = parser.add_argument
    add('model', help='an adapter file, or a config by name or path')
    add('checkpoint', nargs='?', help="a config's weights; of an adapter file the trunk's")
    add('--to', choices=('onnx', 'pt2'), required=True, help='what to write')
    add('--out', type=Path, help='the file to write [named after the model, here]')
    add('--tower', choices=('both', 'video', 'text'), default='both', help='of a retriever [both]')
    add('--int8', action='store_true', help='linear maps in 8 bit, by ONNX Runtime; onnx alone')
    add('--random', action='store_true', help='a config without weights, to try it out')
    add('--force', action='store_true', help='replace existing files')
    args = parser.parse_args(argv)
    if args.random and args.checkpoint is not None:
        parser.error('--random is without a checkpoint')
    from mmstadapter import logs
    from mmstadapter.printing import printable

    out = args.out or Path(f'{Path(args.model).stem}.{args.to}')
    options = dict(to=args.to, tower=args.tower, int8=args.int8, force=args.force)
    try:
        with logs.on_stderr():
            from mmstadapter.exporting import export

            options |= dict(pretrained=False) if args.random else {}
            written = export(args.model, out, checkpoint=args.checkpoint, **options)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        parser.exit(1, printable(f'{error}\n'))
    for file in written:
        print(printable('\n'.join(describe(file))))


def describe(file) -> list[str]:
    """What a file is, and how equal."""
    import json

    facts = {name: json.loads(text) for name, text in file.metadata.items()}
    made = f'opset {facts["opset"]}' if 'opset' in facts else f'PyTorch {facts["torch"]}'
    parts = [file.path, file.path.with_name(f'{file.path.name}.data')]
    size = sum(part.stat().st_size for part in parts if part.exists()) / 2**20
    axes = (f'{name} ({", ".join(map(str, sizes))})' for name, sizes in facts['inputs'].items())
    tried = ', '.join('x'.join(map(str, shape)) for shape in file.tried)
    return [
        f'{file.path}: {size:.1f} MiB, {made}, {facts.get("weights", facts["precision"])}',
        f'  in {"".join(axes)}, out {", ".join(facts["outputs"])}',
        f'  differs from the model by at most {file.difference:.1e} at {tried}',
    ]
