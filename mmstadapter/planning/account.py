"""The account of one training step: what is alive at its peak, and what it computes."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..models.ops.devices import forms_of
from .cards import Card
from .meter import Meter, Operator, Stored, parts_of

GB = 1e9
MASTER = 4  # bytes of a tuned parameter, of its gradient and of each state


@dataclass
class Account:
    """Bytes at the peak of a step by what they are, and the operators of the step.

    Attributes:
        frozen, tuned: weights and buffers.
        states: what the optimiser keeps.
        bucket: gradients put together for other processes.
        gradients: of the tuned parameters, those that exist at the peak.
        inputs: the clips.
        kept: what the forward pass keeps for the backward pass, by module.
        temporaries: everything else that is alive at the peak.
        operators: what ran, see `Meter`; the optimiser's update is the last.
    """

    frozen: int = 0
    tuned: int = 0
    states: int = 0
    bucket: int = 0
    gradients: int = 0
    inputs: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    temporaries: int = 0
    operators: list[Operator] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """Bytes in all."""
        return sum(self.categories().values())

    def categories(self) -> dict[str, int]:
        """Bytes of each kind."""
        return {
            'frozen weights': self.frozen,
            'tuned weights': self.tuned,
            'optimiser states': self.states,
            'gradients': self.gradients,
            'gradient bucket': self.bucket,
            'clips': self.inputs,
            'kept for backward': self.kept.total(),
            'temporaries': self.temporaries,
        }

    @property
    def operations(self) -> int:
        """Operations of a step; a multiply-add is two."""
        return sum(o.operations for o in self.operators)

    @property
    def traffic(self) -> int:
        """Bytes that the operators of a step read and write."""
        return sum(o.nbytes for o in self.operators)

    def seconds(self, card: Card) -> float:
        """The least that a card takes: each operator at its roof, one after the other."""
        return sum(card.seconds(o.operations, o.nbytes, o.half) for o in self.operators)


def account_of(
    loss: Callable[[], Tensor],
    model: nn.Module,
    inputs: Iterable[Tensor],
    *,
    autocast: torch.dtype | None,
    states: float = 2,
    bucket: bool = True,
    accumulates: bool = False,
    forms: str = 'cuda',
) -> Account:
    """Run forward and backward pass and account for them; on fake tensors under their mode.

    Args:
        loss: the forward pass.
        model: whose parameters it uses, in the mode in which it is to run.
        inputs: tensors that are there before.
        autocast: its type; ``None`` for none.
        states: what the optimiser keeps a tuned parameter, in parameters.
        bucket: count DistributedDataParallel's copy of all gradients.
        accumulates: gradients of a part before are there.
        forms: the device whose forms of the operators are accounted for.
    """
    parameters = list(model.parameters())
    tuned = [p for p in parameters if p.requires_grad]
    for p in tuned:
        p.grad = torch.zeros_like(p) if accumulates else None
    meter, inputs = Meter(), list(inputs)
    meter.add([*parameters, *model.buffers(), *inputs, *(p.grad for p in tuned if accumulates)])
    with meter, meter.watching(model), forms_of(forms):
        with torch.autocast('cpu', autocast, enabled=autocast is not None):
            value = loss()
        forward_end = meter.time
        if value.requires_grad:
            value.backward()
    account = _sorted(meter, forward_end, model, inputs)
    size = MASTER * sum(p.numel() for p in tuned)
    account.states, account.bucket = int(states * size), size * bucket
    moved = int((3 + 2 * states) * size)  # weights and states read and written, gradients read
    account.operators = [*meter.operators, Operator('update', 0, moved, False)]
    for p in tuned:
        p.grad = None
    # PyTorch's fused loops over all tensors make one more of each while they update.
    update = replace(account, gradients=size, kept=Counter(), temporaries=size)
    return max(account, update, key=lambda a: a.peak)


def _sorted(meter: Meter, forward_end: int, model: nn.Module, inputs: list[Tensor]) -> Account:
    """What is alive at the peak, by what it is."""
    account = Account()
    kinds = {
        id(meter.of(part)): 'tuned' if p.requires_grad else 'frozen'
        for p in model.parameters()
        for part in parts_of(p)
    }
    weights = set(kinds)
    kinds |= {id(meter.of(b)): 'frozen' for b in model.buffers()}
    kinds |= {id(meter.of(x)): 'inputs' for x in inputs}
    grads = (p.grad for p in model.parameters() if p.grad is not None)
    kinds |= {id(meter.of(grad)): 'gradients' for grad in grads}
    for stored in meter.storages:
        if not stored.alive(meter.peak_time):
            continue
        if kind := kinds.get(id(stored)):
            setattr(account, kind, getattr(account, kind) + stored.nbytes)
        elif stored.born <= forward_end and stored.alive(forward_end):
            account.kept[_label(stored, weights)] += stored.nbytes
        else:
            account.temporaries += stored.nbytes
    return account


def _label(stored: Stored, weights: set[int]) -> str:
    """Whom a kept storage is put down to."""
    return '16-bit copies of weights' if id(stored.source) in weights else stored.module
