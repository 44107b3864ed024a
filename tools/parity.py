"""Compare our models with numbers that the authors' code produced.

    python tools/parity.py FILE_OR_FOLDER ... [--quiet]

Each case is a pair `<case>.safetensors` and `<case>.json`: the official state dict, an
input, and what the official code computed from them. Our model is built from the stored
constructor arguments, takes the official weights through `mmstadapter.weights`, and
every stored quantity is compared. A line a quantity with the largest difference and its
tolerance; exit status 0 only if all hold.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from safetensors.torch import load_file
from torch import Tensor, nn

import mmstadapter
from mmstadapter import weights

# Absolute for values up to 10, relative to the largest value above. Float32 noise of the
# official code against itself in float64 is ten to fifty times smaller.
TOLERANCES = dict(logits=1e-5, loss=1e-4, act=1e-5, grad=5e-5, gradstat=5e-4, weights=0.0)


@dataclass
class Line:
    """One comparison: what, how far apart, how far apart it may be."""

    name: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance (and is a number)."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        verdict = 'ok  ' if self.holds else 'FAIL'
        return (
            f'  {verdict} {self.name:<64} {self.difference:.2e}  (tolerance {self.tolerance:.0e})'
        )


def compare(name: str, kind: str, ours: Tensor, theirs: Tensor) -> Line:
    """The largest absolute difference of two tensors of the same shape."""
    if ours.shape != theirs.shape:
        return Line(f'{name} {tuple(ours.shape)} is not {tuple(theirs.shape)}', float('inf'), 0.0)
    difference = (ours.detach().double() - theirs.double()).abs().max().item()
    largest = theirs.double().abs().max().item()
    scale = largest if largest > 10 else 1.0
    return Line(
        name, difference if difference == difference else float('inf'), TOLERANCES[kind] * scale
    )


class STAdapterCase:
    """A case of linziyi96/st-adapter: STAdapterViT with VideoHead."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors
        c = info['constructor']
        positions = dict(before_attn=c['adapter_pre_attn'], after_attn=c['adapter_pre_mlp'])
        trunk = dict(
            type='mmstadapter.CLIPViT',
            arch=dict(
                img_size=c['input_resolution'],
                patch_size=c['patch_size'],
                embed_dims=c['width'],
                num_layers=c['layers'],
                num_heads=c['heads'],
            ),
        )
        backbone = mmstadapter.STAdapterViT(
            trunk=trunk,
            bottleneck_dims=c['adapter_width'],
            kernel_size=c['adapter_kernel_size'],
            positions=[p for p, present in positions.items() if present],
            blocks=f'last_{c["adapter_layers"]}',
        )
        head = mmstadapter.VideoHead(c['width'], c['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    def official_state(self) -> dict[str, Tensor]:
        """The official state dict in float32."""
        return {k[6:]: v.float() for k, v in self.tensors.items() if k.startswith('param/')}

    def our_name(self, official: str) -> str:
        """The name of an official parameter in our model."""
        return next(iter(weights.to_ours('st-adapter', {official: torch.empty(0)})))

    def lines(self) -> Iterator[Line]:
        """Every comparison of the case."""
        official = self.official_state()
        self.model.load_state_dict(weights.to_ours('st-adapter', official), strict=True)
        yield self._weights_line(official)
        yield self._trained_line()
        video = self.tensors['input'].float()
        yield from self._activation_lines(video)
        for mode in ('eval', 'train'):
            if f'{mode}/logits' in self.tensors:
                yield from self._run_lines(mode, video)

    def _weights_line(self, official: dict[str, Tensor]) -> Line:
        """Our state dict converted back must be the official one, bit for bit."""
        back = weights.from_ours('st-adapter', self.model.state_dict())
        if back.keys() != official.keys():
            odd = sorted(back.keys() ^ official.keys())[:3]
            return Line(f'weights, there and back: {odd} on one side only', float('inf'), 0.0)
        unequal = sum(not torch.equal(back[k], official[k]) for k in official)
        return Line(
            'weights, there and back: unequal tensors', float(unequal), TOLERANCES['weights']
        )

    def _trained_line(self) -> Line:
        """The trained parameters must be the official ones."""
        ours = {n for n, p in self.model.named_parameters() if p.requires_grad}
        theirs = {self.our_name(n) for n in self.info['trainable']}
        return Line('trained parameters on one side only', float(len(ours ^ theirs)), 0.0)

    def _activation_lines(self, video: Tensor) -> Iterator[Line]:
        self.model.eval()
        with torch.no_grad():
            ours = dict(self.model['backbone'].trace(video))
        for key in sorted(k for k in self.tensors if k.startswith('eval/act/')):
            step = self._step(key.removeprefix('eval/act/'))
            if step not in ours:
                yield Line(f'{key}: no such step in our model', float('inf'), 0.0)
            else:
                yield compare(key, 'act', ours[step], self.tensors[key])

    @staticmethod
    def _step(official: str) -> str:
        """'block1.adapter_pre_mlp' -> '1.after_attn', as `STAdapterViT.trace` names steps."""
        fixed = dict(ln_pre='embed', ln_post_in='pooled', feature='feature')
        name = re.sub(r'^block(\d+)', r'\1', official)
        name = name.replace('adapter_pre_attn', 'before_attn').replace(
            'adapter_pre_mlp', 'after_attn'
        )
        return fixed.get(official, name)

    def _run_lines(self, mode: str, video: Tensor) -> Iterator[Line]:
        self.model.train(mode == 'train')
        self.model.zero_grad()
        logits = self.model['cls_head'](self.model['backbone'](video))
        loss = (logits * self.tensors['loss_weight'].float()).sum()
        yield compare(f'{mode}/logits', 'logits', logits, self.tensors[f'{mode}/logits'])
        if f'{mode}/loss' in self.tensors:
            theirs = self.tensors[f'{mode}/loss']
            yield compare(f'{mode}/loss', 'loss', loss.reshape(theirs.shape), theirs)
        loss.backward()
        yield from self._gradient_lines(mode)

    def _gradient_lines(self, mode: str) -> Iterator[Line]:
        parameters = dict(self.model.named_parameters())
        strides = self.info.get('grad_row_stride', {})
        for key in sorted(k for k in self.tensors if k.startswith(f'{mode}/grad/')):
            official = key.removeprefix(f'{mode}/grad/')
            grad = parameters[self.our_name(official)].grad
            grad = grad[:: strides.get(official, 1)] if grad.ndim else grad
            yield compare(key, 'grad', grad, self.tensors[key])
        for official, stat in self.info.get('gradstat', {}).get(mode, {}).items():
            grad = parameters[self.our_name(official)].grad.double()
            ours = torch.stack([grad.norm(), grad.sum()])
            theirs = torch.tensor(stat, dtype=torch.float64)
            yield compare(f'{mode}/gradstat/{official}', 'gradstat', ours, theirs)


CASES: dict[str, Callable] = {'linziyi96/st-adapter': STAdapterCase}


def read_case(path: Path) -> STAdapterCase:
    """The case stored in `path` (.safetensors, with its .json beside it).

    Raises:
        ValueError: if the authors' code it comes from is unknown.
        FileNotFoundError: if one of the two files is missing.
    """
    for file in (path.with_suffix('.json'), path.with_suffix('.safetensors')):
        if not file.is_file():
            raise FileNotFoundError(f'parity: a case needs {file.name} beside {path.name}')
    info = json.loads(path.with_suffix('.json').read_text())
    for source, case in CASES.items():
        if info.get('source', '').startswith(source):
            return case(info, load_file(path.with_suffix('.safetensors')))
    raise ValueError(
        f'parity: {path.name} comes from {info.get("source", "nowhere stated")!r}; '
        f'known sources: {", ".join(CASES)}.'
    )


def find_cases(paths: list[str]) -> list[Path]:
    """All .safetensors files named or lying in the folders named."""
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f'parity: {path} does not exist')
        found += sorted(path.rglob('*.safetensors')) if path.is_dir() else [path]
    if not found:
        raise FileNotFoundError(f'parity: no .safetensors file in {", ".join(paths)}')
    return found


def certify(path: Path, quiet: bool = False) -> bool:
    """Print the certificate of one case; return whether all of it holds."""
    try:
        case = read_case(path)
    except (ValueError, FileNotFoundError) as error:
        print(f'{path.stem}: FAIL, not compared: {error}')
        return False
    lines = list(case.lines())
    failed = [line for line in lines if not line.holds]
    print(f'{path.stem}: {case.info["source"]}')
    for line in failed if quiet else lines:
        print(line)
    worst = max(line.difference for line in lines)
    agree = len(lines) - len(failed)
    print(f'  {agree} of {len(lines)} quantities agree, largest difference {worst:.2e}')
    return not failed


def main() -> int:
    """Certify every case named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('paths', nargs='+', metavar='FILE_OR_FOLDER')
    parser.add_argument('--quiet', action='store_true', help='print only what fails')
    args = parser.parse_args()
    init_default_scope('mmaction')
    results = [certify(path, args.quiet) for path in find_cases(args.paths)]
    print(f'{sum(results)} of {len(results)} cases hold')
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
