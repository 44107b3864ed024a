"""Tensors that are read or made when asked for, so that files larger than the memory load."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from torch import Tensor

BUDGET = 1 << 30  # bytes


class LazyTensors(Mapping[str, Tensor]):
    """Name -> tensor, made anew each time it is asked for and not kept.

    Args:
        makers: what makes each tensor.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self.makers = dict(makers)

    @classmethod
    def choose(
        cls,
        tensors: Mapping[str, Tensor],
        names: Iterable[str],
        changed: Mapping[str, Callable[[Tensor], Tensor]],
    ) -> 'LazyTensors':
        """Some of other tensors, those named in ``changed`` passed through a function."""
        makers: dict[str, Callable[[], Tensor]] = {}
        for name in names:
            makers[name] = partial(tensors.__getitem__, name)
            if name in changed:
                makers[name] = partial(_apply, changed[name], makers[name])
        return cls(makers)

    def __getitem__(self, name: str) -> Tensor:
        return self.makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


class MappedTensors(Mapping[str, Tensor]):
    """The tensors of files that are mapped into memory, mapped anew every so often.

    What was read through a mapping counts as this process's memory until the mapping ends,
    which it does when the last tensor from it is let go. So the files are mapped anew after
    ``budget`` bytes: whoever copies tensor by tensor never has much more than that in
    memory besides the copies.

    Args:
        read: maps the files.
        budget: bytes handed out from one mapping.
    """

    def __init__(self, read: Callable[[], dict[str, Tensor]], budget: int = BUDGET) -> None:
        self.read, self.budget = read, budget
        self.mapped: dict[str, Tensor] | None = read()
        self.names = dict.fromkeys(self.mapped)
        self.handed_out = 0

    def __getitem__(self, name: str) -> Tensor:
        if self.mapped is None:
            self.mapped = self.read()
        tensor = self.mapped[name]
        self.handed_out += tensor.nbytes
        if self.handed_out > self.budget:
            self.mapped, self.handed_out = None, 0
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _apply(change: Callable[[Tensor], Tensor], make: Callable[[], Tensor]) -> Tensor:
    return change(make())
