"""What every certificate is made of: comparisons, and models under official weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..weights.tables import Source

# Absolute for values up to 10, relative to the largest value above; running statistics, a few
# roundings from their batch's, relative above 1. The official code in float32 is up to 3.0e-5
# from itself in float64 in the activations of a post-norm network, and elsewhere a tenth to a
# half of the tolerance.
TOLERANCES = dict(
    logits=1e-5,
    loss=1e-4,
    act=2e-5,
    act_post_norm=5e-5,
    grad=5e-5,
    gradstat=2e-5,
    buffer=1e-6,
    weights=0.0,
)
GIVEN = ('param/', 'buffer/', 'input', 'loss_weight')  # what a case is computed from


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
    """The largest absolute difference of two tensors of the same shape, on any devices."""
    if ours.shape != theirs.shape:
        return Line(f'{name} {tuple(ours.shape)} is not {tuple(theirs.shape)}', float('inf'), 0.0)
    ours, theirs = ours.detach().cpu().double(), theirs.detach().cpu().double()
    difference = (ours - theirs).abs().max().item()
    largest = theirs.abs().max().item()
    scale = largest if largest > (1 if kind == 'buffer' else 10) else 1.0
    return Line(
        name,
        difference if difference == difference else float('inf'),
        TOLERANCES[kind] * scale,
    )


def compare_statistics(name: str, grad: Tensor, stored: list[float]) -> Iterator[Line]:
    """Norm and sum of a whole gradient g of n values.

    An error of e |g| in it changes its norm by at most e |g| and its sum by e |g| sqrt(n).
    """
    grad, (norm, total) = grad.double(), stored
    allowed = TOLERANCES['gradstat'] * max(1.0, norm)
    yield Line(f'{name} norm', abs(grad.norm().item() - norm), allowed)
    yield Line(f'{name} sum', abs(grad.sum().item() - total), allowed * grad.numel() ** 0.5)


class ModelCase:
    """A model of ours under official weights: what it computes against what is stored.

    A subclass builds ``model`` and provides `forward` and `activations`.

    Args:
        info: the case's description, from its json.
        tensors: the case's numbers.
        source: how the official state dict names things.
    """

    output = 'logits'  # what the stored loss is made of
    act_kind = 'act'  # which tolerance activations have
    model: nn.Module

    def __init__(self, info: dict, tensors: dict[str, Tensor], source: Source) -> None:
        self.info, self.tensors, self.source = info, tensors, source

    def forward(self) -> Tensor:
        """What the official model returns, with gradients."""
        raise TypeError(f'{type(self).__name__} must provide `forward`.')

    def activations(self) -> dict[str, Tensor]:
        """Inner steps in the model's mode, under the official names and in their layout."""
        raise TypeError(f'{type(self).__name__} must provide `activations`.')

    def official_state(self) -> dict[str, Tensor]:
        """The official state dict: parameters in float32, buffers as they are."""
        state = {k[6:]: v.float() for k, v in self.tensors.items() if k.startswith('param/')}
        return state | {k[7:]: v for k, v in self.tensors.items() if k.startswith('buffer/')}

    def theirs(self, ours: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors under our names -> under the official ones."""
        return self.source.from_ours(ours)

    def load(self) -> None:
        """Load the official state; tensors the official model lacks stay as built."""
        self.model.to(self.tensors['loss_weight'].device)
        own = self.model.state_dict()
        lacking = {k: v for k, v in own.items() if not self.theirs({k: v})}
        self.model.load_state_dict(
            lacking | self.source.to_ours(self.official_state()), strict=True
        )

    def outputs(self, out: Tensor) -> dict[str, Tensor]:
        """What the official code gives, under its names, made from what `forward` gives."""
        return {self.output: out}

    def lines(self) -> Iterator[Line]:
        """Every comparison of the case; one that fails if something stored was not compared."""
        left = {key for key in self.tensors if not key.startswith(GIVEN)}
        for line in self.comparisons():
            left.discard(line.name.split(' ')[0])
            yield line
        if left:
            first = ', '.join(sorted(left)[:3])
            yield Line(f'{len(left)} stored and not compared: {first}', float('inf'), 0.0)

    def comparisons(self) -> Iterator[Line]:
        """Weights, then steps, outputs, running statistics and gradients in both modes."""
        self.load()
        yield self._weights_line()
        yield self._trained_line()
        for mode in ('eval', 'train'):
            yield from self._activation_lines(mode)
            if f'{mode}/{self.output}' in self.tensors:
                yield from self._run_lines(mode)
        if 'gradstat_if_unfrozen' in self.info:
            yield from self._unfrozen_lines()

    def _weights_line(self) -> Line:
        """Our state dict converted back must be the official one, bit for bit."""
        official, back = self.official_state(), self.theirs(self.model.state_dict())
        if back.keys() != official.keys():
            odd = sorted(back.keys() ^ official.keys())[:3]
            return Line(f'weights, there and back: {odd} on one side only', float('inf'), 0.0)
        unequal = sum(not torch.equal(back[k], official[k]) for k in official)
        return Line('weights, there and back: unequal tensors', float(unequal), 0.0)

    def _trained_line(self) -> Line:
        """The trained parameters must be the official ones."""
        ours = self.theirs({n: p for n, p in self.model.named_parameters() if p.requires_grad})
        odd = ours.keys() ^ set(self.info['trainable'])
        return Line('trained parameters on one side only', float(len(odd)), 0.0)

    def _activation_lines(self, mode: str) -> Iterator[Line]:
        self.load()
        self.model.train(mode == 'train')
        with torch.no_grad():
            ours = self.activations()
        for key in sorted(k for k in self.tensors if k.startswith(f'{mode}/act/')):
            name = key.removeprefix(f'{mode}/act/')
            if name not in ours:
                yield Line(f'{key}: no such step in our model', float('inf'), 0.0)
            else:
                yield compare(key, self.act_kind, ours[name], self.tensors[key])

    def _run_lines(self, mode: str) -> Iterator[Line]:
        self.load()
        self.model.train(mode == 'train')
        self.model.zero_grad()
        out = self.forward()
        loss = (out * self.tensors['loss_weight'].float()).sum()
        for name, ours in self.outputs(out).items():
            kind = 'logits' if name == 'logits' else self.act_kind
            if f'{mode}/{name}' in self.tensors:
                yield compare(f'{mode}/{name}', kind, ours, self.tensors[f'{mode}/{name}'])
        if f'{mode}/loss' in self.tensors:
            theirs = self.tensors[f'{mode}/loss']
            yield compare(f'{mode}/loss', 'loss', loss.reshape(theirs.shape), theirs)
        yield from self._buffer_lines(mode)
        loss.backward()
        yield from self._gradient_lines(mode)

    def _buffer_lines(self, mode: str) -> Iterator[Line]:
        """Running statistics after the forward pass."""
        state = self.theirs(self.model.state_dict())
        for key in sorted(k for k in self.tensors if k.startswith(f'{mode}/buffer/')):
            yield compare(key, 'buffer', state[key.split('/', 2)[2]], self.tensors[key])

    def _gradient_lines(self, mode: str) -> Iterator[Line]:
        grads = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
        ours = self.theirs(grads)
        strides = self.info.get('grad_row_stride', {})
        for key in sorted(k for k in self.tensors if k.startswith(f'{mode}/grad/')):
            name = key.removeprefix(f'{mode}/grad/')
            grad = ours[name]
            yield compare(
                key, 'grad', grad[:: strides.get(name, 1)] if grad.ndim else grad, self.tensors[key]
            )
        for name, stat in self.info.get('gradstat', {}).get(mode, {}).items():
            yield from compare_statistics(f'{mode}/gradstat/{name}', ours[name], stat)

    def _unfrozen_lines(self) -> Iterator[Line]:
        """Gradients of the frozen parameters, had they been trained."""
        frozen = [p for p in self.model.parameters() if not p.requires_grad]
        self.load()
        self.model.eval().requires_grad_(True)
        (self.forward() * self.tensors['loss_weight'].float()).sum().backward()
        ours = self.theirs({n: p.grad for n, p in self.model.named_parameters()})
        for name, stat in self.info['gradstat_if_unfrozen'].items():
            yield from compare_statistics(f'gradstat_if_unfrozen/{name}', ours[name], stat)
        for parameter in frozen:
            parameter.requires_grad_(False)
        self.model.zero_grad()
