"""An invertible table of parameter names: somebody else's <-> ours."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from .lazy import LazyTensors

KINDS = {
    'trunk': 'an image tower',
    'eva-trunk': 'an image tower of EVA-CLIP',
    'siglip-trunk': 'an image tower of SigLIP',
    'pe-trunk': 'an image tower of PE-Core',
    'model': 'a whole model',
    'text': 'a text tower',
    'siglip-text': 'a text tower of SigLIP',
}
PROJECTIONS = ('proj', 'head.weight', 'head.bias', 'text_projection')


@dataclass(frozen=True)
class Rule:
    """One of our names and what it is elsewhere; ``{}`` stands for the block number.

    Args:
        ours: our name.
        theirs: their name, or several whose tensors are stacked along the first axis.
        transpose: whether their matrix is ours transposed.
    """

    ours: str
    theirs: tuple[str, ...]
    transpose: bool = False

    def join(self, parts: list[Tensor]) -> Tensor:
        """Their tensors -> ours."""
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.T.contiguous() if self.transpose else whole

    def split(self, whole: Tensor) -> list[Tensor]:
        """Our tensor -> theirs, which may share its memory."""
        whole = whole.T.contiguous() if self.transpose else whole
        if len(self.theirs) == 1:
            return [whole]
        return list(whole.unflatten(0, (len(self.theirs), -1)))


@dataclass(frozen=True)
class AxesRule(Rule):
    """A tensor that has axes of length one elsewhere, which ours lacks, or the reverse.

    Args:
        before: how many more axes theirs has before ours.
        after: how many more axes theirs has after ours; fewer if negative.
    """

    before: int = 0
    after: int = 0

    def join(self, parts: list[Tensor]) -> Tensor:
        """(1, ..., *ours, 1, ...) -> ours."""
        return _behind(_ahead(parts[0], -self.before), -self.after)

    def split(self, whole: Tensor) -> list[Tensor]:
        """The reverse."""
        return [_behind(_ahead(whole, self.before), self.after)]


@dataclass(frozen=True)
class RowsRule(Rule):
    """A tensor of ours that is a share of the rows of one elsewhere; other rules have the rest.

    Args:
        first, last: which of ``of`` equal parts, ``last`` not included.
        of: how many parts theirs has.
    """

    first: int = 0
    last: int = 1
    of: int = 1

    def join(self, parts: list[Tensor]) -> Tensor:
        """Theirs, all rows -> ours."""
        rows = len(parts[0]) // self.of
        return parts[0][self.first * rows : self.last * rows]


def _ahead(x: Tensor, axes: int) -> Tensor:
    """With so many axes of length one more, or fewer, before the others."""
    for _ in range(abs(axes)):
        x = x.unsqueeze(0) if axes > 0 else x.squeeze(0)
    return x


def _behind(x: Tensor, axes: int) -> Tensor:
    """With so many axes of length one more, or fewer, after the others."""
    for _ in range(abs(axes)):
        x = x.unsqueeze(-1) if axes > 0 else x.squeeze(-1)
    return x


@dataclass(frozen=True)
class Source:
    """How one origin of weights names things: a file is its if it holds no other names.

    Args:
        name: what it is called on the command line.
        kind: what its files hold, one of `KINDS`. Ours are then the names of `CLIPViT`
            (OpenAI's visual names without ``visual.``), of `EVAViT`, of `CLIPText` (OpenAI's
            names of the text tower), or of a whole recogniser or retriever.
        rules: the table, which is the way back as well.
        ignored: patterns of their names that have no place in ours.
        ignored_ours: patterns of our names that have no place in theirs.
        optional_prefix: what the table's names start with and a file's names may lack.
        part_of_trunk: whether its models hold too little of a trunk to supply ours.
        container: under which name its code looks for a state dict in a .pth file.
        config: a file beside the weights that says with which activation they were trained.
        one_activation: whether no warning is due where there is no such file.
        require: instead of that config, raises for an activation that its files do not have.
    """

    name: str
    kind: str
    rules: tuple[Rule, ...]
    ignored: tuple[str, ...] = ()
    ignored_ours: tuple[str, ...] = ()
    optional_prefix: str = ''
    part_of_trunk: bool = False
    container: str = ''
    config: str = 'open_clip_config.json'
    one_activation: bool = False
    require: Callable[[Path, str], None] | None = None

    @cached_property
    def by_theirs(self) -> dict[str, list[tuple[Rule, int]]]:
        """Their name -> rule and which of its parts; several rules where they share its rows."""
        found: dict[str, list[tuple[Rule, int]]] = {}
        for rule in self.rules:
            for i, name in enumerate(rule.theirs):
                found.setdefault(name, []).append((rule, i))
        return found

    @cached_property
    def by_ours(self) -> dict[str, Rule]:
        """Our name -> rule."""
        return {rule.ours: rule for rule in self.rules}

    def lacking(self, ours: Iterable[str]) -> list[str]:
        """Our names that a whole tower must have besides these, by its table.

        A projection into the joint space may be absent: not every tower has one.
        """
        have = set(ours)
        numbers = {int(number) for _, number in map(_template, have) if number}
        count = max(numbers, default=0) + 1
        wanted = (r for r in self.rules if r.ours not in PROJECTIONS)
        names = [r.ours.format(n) for r in wanted for n in range(count if '{}' in r.ours else 1)]
        return [name for name in names if name not in have]

    def to_ours(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their state dict -> ours. A part of one, such as the tuned part, will do.

        Raises:
            KeyError: for a name that is neither in the table nor ignored, and if of
                several tensors that make one of ours only some are there.
        """
        return dict(self.lazily(tensors))

    def lazily(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """The same, each tensor made when asked for; the names are checked at once."""
        found: dict[str, tuple[Rule, dict[int, str]]] = {}
        for name, full in self.full_names(tensors).items():
            template, number = _template(full, self.by_theirs)
            for rule, part in self.by_theirs.get(template, ()):
                found.setdefault(rule.ours.format(number), (rule, {}))[1][part] = name
            if template not in self.by_theirs and not _matching(self.ignored, full):
                raise _no_rule(self.name, name, self.by_theirs)
        for ours, (rule, names) in found.items():
            absent = [name for i, name in enumerate(rule.theirs) if i not in names]
            if absent:
                raise KeyError(f"{self.name}: {ours!r} also needs the block's {', '.join(absent)}.")
        return LazyTensors(
            {
                ours: partial(_join, rule, tensors, [names[i] for i in sorted(names)])
                for ours, (rule, names) in found.items()
            }
        )

    def from_ours(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our state dict -> theirs, under full names; parts of one have memory of their own.

        Raises:
            KeyError: for a name of ours that they have no place for, and if of several tensors
                that make one of theirs only some are there.
        """
        return dict(self.lazily_from_ours(tensors))

    def lazily_from_ours(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """The same, each tensor made when asked for; the names are checked at once."""
        shares: dict[tuple[str, str], dict[Rule, Callable[[], Tensor]]] = {}
        for name in tensors:
            template, number = _template(name, self.by_ours)
            if template in self.by_ours:
                rule = self.by_ours[template]
                for part, theirs in enumerate(rule.theirs):
                    make = partial(_part, rule, tensors, name, part)
                    shares.setdefault((theirs, number), {})[rule] = make
            elif not _matching(self.ignored_ours, name):
                raise _no_rule(f'{self.name}, from ours', name, self.by_ours)
        return LazyTensors(
            {theirs.format(n): self._whole(theirs, made) for (theirs, n), made in shares.items()}
        )

    def _whole(
        self, theirs: str, shares: Mapping[Rule, Callable[[], Tensor]]
    ) -> Callable[[], Tensor]:
        """What makes one of their tensors, of all the shares of it that the table has."""
        rules = [rule for rule, _ in self.by_theirs[theirs]]
        absent = [rule.ours for rule in rules if rule not in shares]
        if absent:
            raise KeyError(f'{self.name}: {theirs!r} also needs our {", ".join(absent)}.')
        makers = [shares[rule] for rule in rules]
        return makers[0] if len(makers) == 1 else partial(_stack, makers)

    def full_names(self, names: Iterable[str]) -> dict[str, str]:
        """Name in a file -> name in the table, which has the optional prefix."""
        full = {name: name for name in names}
        if any(n.startswith(self.optional_prefix) and self._has(n) for n in full):
            return full
        bare = any(self._has(self.optional_prefix + n) for n in full)
        return {n: self.optional_prefix + n if bare and not self._has(n) else n for n in full}

    def _has(self, full_name: str) -> bool:
        return _template(full_name, self.by_theirs)[0] in self.by_theirs

    def known(self, names: Iterable[str]) -> list[str]:
        """The names of a file that are in the table."""
        full = self.full_names(names)
        return [name for name in full if self._has(full[name])]

    def left_out(self, names: Iterable[str]) -> Counter:
        """Pattern -> how many names of a file it makes `to_ours` ignore."""
        full = self.full_names(names).values()
        hits = (_matching(self.ignored, name) for name in full if not self._has(name))
        return Counter(hit for hit in hits if hit)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """The names of a file that are neither in the table nor ignored."""
        full = self.full_names(names)
        return [n for n in full if not self._has(full[n]) and not _matching(self.ignored, full[n])]


def _join(rule: Rule, tensors: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return rule.join([tensors[name] for name in names])


def _part(rule: Rule, tensors: Mapping[str, Tensor], name: str, part: int) -> Tensor:
    tensor = rule.split(tensors[name])[part]
    return tensor.clone() if len(rule.theirs) > 1 else tensor


def _stack(makers: list[Callable[[], Tensor]]) -> Tensor:
    return torch.cat([make() for make in makers])


def _template(name: str, known: Collection[str] = ()) -> tuple[str, str]:
    """'a.3.b' -> ('a.{}.b', '3'); a name that is known or without a number stays as it is."""
    number = None if name in known else re.search(r'\.(\d+)(?=\.|$)', name)
    if number is None:
        return name, ''
    return f'{name[: number.start()]}.{{}}{name[number.end() :]}', number[1]


def _matching(patterns: tuple[str, ...], name: str) -> str | None:
    return next((p for p in patterns if fnmatchcase(name, p)), None)


def _no_rule(source: str, name: str, known: Iterable[str]) -> KeyError:
    heads = (k.split('.{}')[0] if '{}' in k else k.rsplit('.', 1)[0] for k in known)
    prefixes = ', '.join(dict.fromkeys(heads))
    return KeyError(f'{source}: no rule for {name!r}. Known prefixes: {prefixes}.')
