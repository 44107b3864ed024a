"""Every storage that lives while a step runs, and every operator that runs."""

import math
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, partialmethod
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..models.ops.quantized import is_quantized
from ..models.trunks.base import Trunk
from ..models.trunks.wrapped import WrappedBlock
from .operations import operations_of

HALF = (torch.float16, torch.bfloat16)


@dataclass
class Stored:
    """A storage: its bytes, the operators between which it lived, and who made it.

    Attributes:
        nbytes: size.
        born: number of the operator that made it, 0 for what was there before.
        died: number of the last operator that ran while it lived.
        module: name of the module at work when it was made; '' in the backward pass.
        source: what it is a copy of, if it is made by a change of type alone.
    """

    nbytes: int
    born: int
    died: float = math.inf
    module: str = ''
    source: 'Stored | None' = None

    def alive(self, time: int) -> bool:
        """Whether it was there at the end of an operator."""
        return self.born <= time <= self.died


class Operator(NamedTuple):
    """An operator that ran: operations (a multiply-add is two), bytes read and written."""

    name: str
    operations: int
    nbytes: int
    half: bool


class Repeat(NamedTuple):
    """What a block took: bytes beyond those before at most, operators, and what it gave."""

    inside: int
    operators: list[Operator]
    made: tuple


class Meter(TorchDispatchMode):
    """Bytes of the storages that are alive, and the most there ever were.

    Attributes:
        storages: all there were.
        operators: all that ran and moved or computed something.
        now, peak: bytes alive now, and the most.
        time: operators so far; ``peak_time``: when the most were first alive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storages: list[Stored] = []
        self.operators: list[Operator] = []
        self.now = self.peak = self.high = self.time = self.peak_time = 0
        self.module = ''
        self._alive: dict[int, Stored] = {}
        self._repeats: dict[tuple, Repeat] = {}

    def add(self, tensors: Iterable[Tensor], source: Stored | None = None) -> None:
        """Count the storages of tensors that are new."""
        for tensor in (part for given in tensors for part in parts_of(given)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._alive:
                stored = Stored(storage.nbytes(), self.time, module=self.module, source=source)
                self._alive[storage._cdata] = stored
                self.storages.append(stored)
                self.now += stored.nbytes
                weakref.finalize(storage, self._remove, storage._cdata)
        self._at_least(self.now)

    def _at_least(self, nbytes: int) -> None:
        """So many bytes are alive now."""
        self.high = max(self.high, nbytes)
        if nbytes > self.peak:
            self.peak, self.peak_time = nbytes, self.time

    def _remove(self, key: int) -> None:
        stored = self._alive.pop(key)
        stored.died = self.time
        self.now -= stored.nbytes

    def of(self, tensor: Tensor) -> Stored | None:
        """What is noted of an ordinary tensor's storage."""
        return self._alive.get(tensor.untyped_storage()._cdata)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.prim.device.default:  # most of all calls
            return out
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if made:
            self.time += 1
            leaves = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            given = list({id(t): t for t in leaves}.values())  # an `out` may be among them
            self._note(func, given, made, args, out)
            is_copy = func is torch.ops.aten._to_copy.default
            self.add(made, self.of(given[0]) if is_copy else None)
        return out

    def _note(self, func, given: list[Tensor], made: list[Tensor], args: tuple, out) -> None:
        """An operator's operations and traffic; views and empty tensors cost nothing."""
        known = {t.untyped_storage()._cdata for t in given}
        is_view = not func._schema.is_mutable and all(
            t.untyped_storage()._cdata in known for t in made
        )
        name = func._schema.name.removeprefix('aten::')
        if is_view or 'empty' in name:
            return
        moved = sum(min(t.numel() * t.itemsize, t.untyped_storage().nbytes()) for t in given + made)
        # The first matrix has the type of the product: attention's statistics are in float32.
        types = (t.dtype for t in given if t.is_floating_point() and t.ndim > 1)
        half = next(types, None) in HALF
        self.operators.append(Operator(name, operations_of(func, args, out), moved, half))

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Note which module of a model is at work; run equal frozen blocks of its trunk once.

        Not by hooks: lean forms step aside where one is, and other things would be counted.
        """
        names = {id(module): name for name, module in model.named_modules()}
        equal = _equal_blocks(model)

        def noted(call: Callable, block: nn.Module | WrappedBlock, *args, **kwargs):
            module = _module_of(block)
            outer, self.module = self.module, names.get(id(module), self.module)
            try:
                if id(module) in equal and not torch.is_grad_enabled() and not kwargs:
                    return self._once(equal[id(module)], partial(call, block), *args)
                return call(block, *args, **kwargs)
            finally:
                self.module = outer

        with ExitStack() as patches:
            for kind in (nn.Module, WrappedBlock):
                new = partialmethod(partial(noted, kind.__call__))
                patches.enter_context(mock.patch.object(kind, '__call__', new))
            yield

    def _once(
        self, kind: Hashable, call: Callable[..., Tensor], x: Tensor, *rest: Hashable
    ) -> Tensor:
        """call(x, *rest), which is not run but accounted for where its like has run on such."""
        key = (kind, x.shape, x.stride(), x.dtype, rest)
        if key not in self._repeats:
            before, first = self.now, len(self.operators)
            self.high = before
            y = call(x, *rest)
            made = (y.shape, y.stride(), y.dtype)
            self._repeats[key] = Repeat(self.high - before, self.operators[first:], made)
            return y
        repeat = self._repeats[key]
        self.time += 1
        self._at_least(self.now + repeat.inside)
        self.storages.append(Stored(repeat.inside, self.time, self.time, self.module))
        self.operators += repeat.operators
        shape, stride, dtype = repeat.made
        return torch.empty_strided(shape, stride, dtype=dtype)


def parts_of(tensor: Any) -> Iterator[Tensor]:
    """The ordinary tensors that a tensor is made of: itself, or a quantised one's."""
    names = tensor.__tensor_flatten__()[0] if is_quantized(tensor) else ()
    if not names:
        yield tensor
    for name in names:
        yield from parts_of(getattr(tensor, name))


def _equal_blocks(model: nn.Module) -> dict[int, Hashable]:
    """Frozen blocks of trunks by id, with what two of them have in common if they are alike."""
    trunks = [module for module in model.modules() if isinstance(module, Trunk)]
    blocks = [_module_of(block) for trunk in trunks for block in trunk.blocks]
    frozen = [b for b in blocks if not (b.training or any(p.requires_grad for p in b.parameters()))]
    return {id(block): _likeness(block) for block in frozen}


def _module_of(block: nn.Module | WrappedBlock) -> nn.Module:
    """Itself, or the library's module that it puts the trunk's verbs around."""
    return block.block if isinstance(block, WrappedBlock) else block


def _likeness(block: nn.Module) -> Hashable:
    """Layers, sizes and settings of a block."""
    tensors = (*block.named_parameters(), *block.named_buffers())
    settings = [
        (name, field, value)
        for name, module in block.named_modules()
        for field, value in vars(module).items()
        if isinstance(value, bool | int | float | str)
    ]
    return repr(block), tuple((n, t.shape, t.dtype) for n, t in tensors), tuple(settings)
