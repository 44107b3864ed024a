"""Rename a weights file from one origin's names to another's; nothing in it is executed.

    mmstadapter convert --from st-adapter --to mmstadapter SRC DST
    mmstadapter convert --from openai-clip --to hf-clip openai/ViT-B-16 DST
    mmstadapter convert --from openai-clip-text --to mmstadapter openai/ViT-B-16 DST

SRC is a file or a known name, DST ends in .safetensors or .pth. CLIP files (openai-clip,
open_clip, hf-clip, eva-clip) hold an image tower: `mmstadapter` then means a file for
`model.backbone.trunk.checkpoint`. The names with -text take the text tower out of the same
files, for `model.text_tower.checkpoint`. Files of st-adapter hold a recogniser, or its trained
part alone as the official code saves it: `mmstadapter` then means a checkpoint for `load_from`
and `tools/test.py`, whose trunk supplies what the file lacks. Files of side4video-clip and
side4video-eva hold recognisers too, running statistics included.

Tensors go from file to file one by one: writing a .safetensors file of any size takes about
1.5 GB of memory, a .pth file may take its own size besides.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmstadapter.weights import SOURCES, LazyTensors, locate, open_tensors, save_lazily
from mmstadapter.weights.saving import written_whole

OURS = 'mmstadapter'
INCOMPLETE_TRUNK = ('side4video-clip',)  # these recognisers were built without CLIP's ln_post
KINDS = {
    'trunk': 'an image tower',
    'eva-trunk': 'an image tower of EVA-CLIP',
    'text': 'a text tower',
    'model': 'a whole model',
}


def convert(tensors: Mapping[str, Tensor], origin: str, target: str) -> Mapping[str, Tensor]:
    """State dict under the names of ``origin`` -> under those of ``target``, made when asked for.

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
    ours = tensors if origin == OURS else SOURCES[origin].lazily(tensors)
    if target != OURS:
        return SOURCES[target].lazily_from_ours(ours)
    return without_trunk(ours) if origin in INCOMPLETE_TRUNK else ours


def without_trunk(ours: Mapping[str, Tensor]) -> LazyTensors:
    """The tuned part alone; the trunk supplies the rest from its pretrained file."""
    names = [name for name in ours if not name.startswith('backbone.trunk.')]
    return LazyTensors.choose(ours, names, {})


def write(path: Path, tensors: Mapping[str, Tensor], target: str) -> None:
    """Write the file whole or not at all; a .pth in the form that ``target`` reads."""
    if path.suffix == '.safetensors':
        save_lazily(tensors, path, dict(format='pt'))
    else:
        own = {name: _alone(tensors[name]) for name in tensors}
        with written_whole(path) as part:
            torch.save(_container(own, target), part)


def _alone(tensor: Tensor) -> Tensor:
    """The tensor, copied if it is a part of something larger, which would be written with it."""
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def _container(tensors: dict[str, Tensor], target: str) -> dict:
    if target == 'st-adapter':  # the official code reads checkpoint['model']
        return dict(model=tensors)
    if any(name.startswith('backbone.') for name in tensors):  # MMEngine's form
        return dict(meta=dict(converted_by='tools/convert_weights.py'), state_dict=tensors)
    return tensors


def report(tensors: Mapping[str, Tensor], written: Mapping[str, Tensor], origin: str) -> None:
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
        tensors = open_tensors(locate(args.src))
        written = convert(tensors, args.origin, args.target)
        write(args.dst, written, args.target)
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        parser.exit(1, f'{parser.prog}: {reason}\n')
    report(tensors, written, args.origin)
    print(f'{args.dst}: {args.dst.stat().st_size / 2**20:.1f} MiB, named as in {args.target}')


if __name__ == '__main__':
    main()
