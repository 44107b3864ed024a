"""Rename a weights file from one origin's names to another's; nothing in it is executed.

    python tools/convert_weights.py --from st-adapter --to mmstadapter SRC DST
    python tools/convert_weights.py --from openai-clip --to hf-clip openai/ViT-B-16 DST
    python tools/convert_weights.py --from openai-clip-text --to mmstadapter openai/ViT-B-16 DST

SRC is a file or a known name, DST ends in .safetensors or .pth. CLIP files (openai-clip,
open_clip, hf-clip, eva-clip) hold an image tower: `mmstadapter` then means a file for
`model.backbone.trunk.checkpoint`. The names with -text take the text tower out of the same
files, for `model.text_tower.checkpoint`. Files of st-adapter hold a recogniser, or its trained
part alone as the official code saves it: `mmstadapter` then means a checkpoint for `load_from`
and `tools/test.py`, whose trunk supplies what the file lacks. Files of side4video-clip and
side4video-eva hold recognisers too, running statistics included.
"""

import argparse
import uuid
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmstadapter.weights import SOURCES, from_ours, locate, read_tensors, to_ours

OURS = 'mmstadapter'
INCOMPLETE_TRUNK = ('side4video-clip',)  # these recognisers were built without CLIP's ln_post
KINDS = {
    'trunk': 'an image tower',
    'eva-trunk': 'an image tower of EVA-CLIP',
    'text': 'a text tower',
    'model': 'a whole model',
}


def convert(tensors: dict[str, Tensor], origin: str, target: str) -> dict[str, Tensor]:
    """State dict under the names of ``origin`` -> under those of ``target``.

    Raises:
        ValueError: if one holds something else than the other.
        KeyError: for a name without a counterpart.
    """
    kinds = {SOURCES[name].kind for name in (origin, target) if name != OURS}
    if len(kinds) > 1:
        what = ', '.join(f'{name} {KINDS[SOURCES[name].kind]}' for name in (origin, target))
        raise ValueError(
            f'{origin} and {target} do not hold the same: {what}. Convert each to mmstadapter.'
        )
    ours = tensors if origin == OURS else to_ours(origin, tensors)
    if target != OURS:
        return from_ours(target, ours)
    return without_trunk(ours) if origin in INCOMPLETE_TRUNK else ours


def without_trunk(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tuned part alone; the trunk supplies the rest from its pretrained file."""
    return {name: t for name, t in ours.items() if not name.startswith('backbone.trunk.')}


def write(path: Path, tensors: dict[str, Tensor], target: str) -> None:
    """Write the file whole or not at all; a .pth in the form that ``target`` reads."""
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{uuid.uuid4().hex}.part')
    try:
        if path.suffix == '.safetensors':
            save_file(tensors, part, metadata=dict(format='pt'))
        else:
            torch.save(_container(tensors, target), part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _container(tensors: dict[str, Tensor], target: str) -> dict:
    if target == 'st-adapter':  # the official code reads checkpoint['model']
        return dict(model=tensors)
    if any(name.startswith('backbone.') for name in tensors):  # MMEngine's form
        return dict(meta=dict(converted_by='tools/convert_weights.py'), state_dict=tensors)
    return tensors


def report(tensors: dict[str, Tensor], written: dict[str, Tensor], origin: str) -> None:
    """Print how many tensors there were, which were left out, and how many there are."""
    print(f'{len(tensors)} tensors read, {len(written)} written')
    if origin != OURS:
        for pattern, count in SOURCES[origin].left_out(tensors).items():
            print(f'  ignored {count}: {pattern}')
    if origin in INCOMPLETE_TRUNK:
        print('  left out: the trunk, which these files hold without ln_post; it is read from')
        print('  model.backbone.trunk.checkpoint')


def main() -> None:
    """Read, rename, write, report."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0],
        epilog='\n'.join(lines[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = (OURS, *SOURCES)
    parser.add_argument('--from', dest='origin', choices=names, required=True)
    parser.add_argument('--to', dest='target', choices=names, required=True)
    parser.add_argument('src', help='a file, or a known name such as openai/ViT-B-16')
    parser.add_argument('dst', type=Path, help='a .safetensors or .pth file to write')
    parser.add_argument('--force', action='store_true', help='replace an existing DST')
    args = parser.parse_args()
    if args.dst.suffix not in ('.safetensors', '.pth'):
        parser.error(f'DST must end in .safetensors or .pth, got {args.dst}')
    if args.dst.exists() and not args.force:
        parser.error(f'{args.dst} exists; use --force to replace it')
    try:
        tensors = read_tensors(locate(args.src))
        written = convert(tensors, args.origin, args.target)
    except (KeyError, ValueError, RuntimeError, FileNotFoundError) as error:
        parser.exit(1, f'{parser.prog}: {error.args[0]}\n')
    write(args.dst, written, args.target)
    report(tensors, written, args.origin)
    print(f'{args.dst}: {args.dst.stat().st_size / 2**20:.1f} MiB, named as in {args.target}')


if __name__ == '__main__':
    main()
