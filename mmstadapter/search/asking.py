"""What is looked for: words, examples, and what it should not be; as numbers for an index."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..models.retrieval.scoring import score
from .first_stage import pooled

TIME = r'((?:\d+:){0,2}\d+(?:\.\d*)?)'
PART = re.compile(f'(.+)@{TIME}-{TIME}', re.DOTALL)


class Example(NamedTuple):
    """A picture or video to look for the like of, or the part of it between two seconds."""

    path: str
    start: float = 0.0
    end: float | None = None

    @classmethod
    def of(cls, text: str | Path) -> 'Example':
        """``FILE`` or ``FILE@12.5-15``; times may be written as a player shows them, 1:02.5.

        Raises:
            FileNotFoundError: no such file.
            ValueError: if the part ends before it begins.
        """
        text = str(text)
        match = None if Path(text).exists() else PART.fullmatch(text)
        path = match[1] if match else text
        if not Path(path).is_file():
            raise FileNotFoundError(
                f'like: no file {path}. Give a picture or video, or a part: FILE@12.5-15.'
            )
        if match is None:
            return cls(path)
        start, end = _seconds(match[2]), _seconds(match[3])
        if end <= start:
            raise ValueError(f'like: {text} ends before it begins. Write FILE@FROM-TO in seconds.')
        return cls(path, start, end)


def _seconds(text: str) -> float:
    """'1:02.5' -> 62.5."""
    seconds = 0.0
    for part in text.split(':'):
        seconds = 60 * seconds + float(part)
    return seconds


@dataclass(frozen=True)
class Query:
    """One thing to look for.

    Args:
        words: a sentence.
        like: examples, ``FILE`` or ``FILE@12.5-15``: pictures, videos, parts of videos.
        minus: sentences that what is found should not be like.

    Raises:
        ValueError: with neither words nor examples.
    """

    words: str = ''
    like: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.words.strip() or self.like) or not all(m.strip() for m in self.minus):
            raise ValueError(
                'VideoSearch: needs captions with words in them, or examples (like); minus alone '
                f'or empty finds nothing. Got {self.asdict() or "nothing"}.'
            )
        if self.words in self.minus:
            raise ValueError(f'VideoSearch: {self.words!r} minus itself finds nothing.')

    @classmethod
    def of(cls, asked: 'str | Query | Mapping[str, Any]') -> 'Query':
        """From a sentence, or a mapping such as ``{'words': ..., 'like': [...]}``."""
        if isinstance(asked, Query):
            return asked
        if isinstance(asked, str):
            return cls(asked)
        if not isinstance(asked, Mapping):
            raise ValueError(f'VideoSearch: a query is a sentence or a Query, got {asked!r}.')
        strange = asked.keys() - {'words', 'like', 'minus'}
        if strange or not isinstance(asked.get('words', ''), str):
            raise ValueError(
                f'VideoSearch: a query has words, like and minus, got {dict(asked)!r}.'
            )
        return cls(asked.get('words', ''), *(several(asked.get(n)) for n in ('like', 'minus')))

    def __str__(self) -> str:
        return ' '.join(
            [*filter(None, [self.words]), *(f'like {x}' for x in self.like)]
            + [f'minus {x}' for x in self.minus]
        )

    def asdict(self) -> dict[str, Any]:
        """What was given, as a dict that JSON can hold."""
        given = dict(words=self.words, like=list(self.like), minus=list(self.minus))
        return {name: value for name, value in given.items() if value}

    @property
    def captions(self) -> list[str]:
        """All sentences that a model must read."""
        return [*filter(str.strip, [self.words]), *self.minus]


def several(given: str | Path | Sequence[str | Path] | None) -> tuple[str, ...]:
    """None, one or several as a tuple of texts."""
    if given is None:
        return ()
    return (str(given),) if isinstance(given, str | Path) else tuple(map(str, given))


@dataclass(frozen=True)
class Asked:
    """A queries as an index compares them: features of captions and examples, and their shares.

    A segment's similarity is the sum of those with each caption (the model's own) and with each
    example (the cosine of pooled vectors), times its share. A query's words and examples have
    equal shares, one together; what it should not be like has minus one together.

    Args:
        text: feature dict of P captions, or None.
        shares: (A, P); None where caption number i is all of query number i.
        examples: (L, E), the pooled unit vector of each, or None.
        example_shares: (A, L), given with examples.
    """

    text: Mapping[str, Tensor] | None
    shares: Tensor | None = None
    examples: Tensor | None = None
    example_shares: Tensor | None = None

    @classmethod
    def like(cls, features: Mapping[str, Tensor]) -> 'Asked':
        """What is like each of A clips, from ``encode_clips`` of the index's model."""
        vectors = pooled({name: tensor.detach().cpu() for name, tensor in features.items()})
        return cls(None, None, vectors, torch.eye(len(vectors)))

    def __len__(self) -> int:
        for shares in (self.shares, self.example_shares):
            if shares is not None:
                return len(shares)
        return len(next(iter(self.text.values()))) if self.text else 0

    @property
    def tensors(self) -> list[Tensor]:
        """All features."""
        return [*(self.text or {}).values(), *([] if self.examples is None else [self.examples])]

    def vectors(self) -> Tensor:
        """(A, E): the inner product with a segment's pooled vector ranks the first stage."""
        found = [] if self.text is None else [_shared(self.shares, pooled(self.text))]
        if self.examples is not None:
            found.append(_shared(self.example_shares, self.examples))
        return sum(found[1:], found[0])

    def score(self, features: Mapping[str, Tensor], vectors: Tensor) -> Tensor:
        """(A, n) similarities with n segments, of their features and pooled vectors (n, E)."""
        found = [] if self.text is None else [_shared(self.shares, score(self.text, features))]
        if self.examples is not None:
            found.append(_shared(self.example_shares, self.examples @ vectors.float().T))
        return sum(found[1:], found[0])

    def one(self, number: int) -> 'Asked':
        """One of the queries, with what counts for it alone."""
        text, shares = _counting(self.text, self.shares, number)
        vectors = None if self.examples is None else dict(vector=self.examples)
        examples, example_shares = _counting(vectors, self.example_shares, number)
        return Asked(text, shares, examples['vector'] if examples else None, example_shares)


def _counting(
    features: Mapping[str, Tensor] | None, shares: Tensor | None, number: int
) -> tuple[Mapping[str, Tensor] | None, Tensor | None]:
    """The features that count for a query, and how much, (1, n)."""
    if features is None:
        return None, None
    rows = torch.tensor([number]) if shares is None else shares[number].nonzero()[:, 0]
    if not len(rows):
        return None, None
    found = {name: tensor[rows] for name, tensor in features.items()}
    return found, None if shares is None else shares[number, rows][None]


def _shared(shares: Tensor | None, values: Tensor) -> Tensor:
    return values if shares is None else shares @ values


def asked(queries: Sequence[Query], model: Any) -> Asked:
    """The queries as the model of an index sees them.

    Args:
        queries: A of them.
        model: a :class:`SearchModel`; whole where there are examples.
    """
    captions = list(dict.fromkeys(c for query in queries for c in query.captions))
    examples = list(dict.fromkeys(e for query in queries for e in query.like))
    text = model.encode_captions(captions) if captions else None
    if not examples and [query.captions for query in queries] == [[c] for c in captions]:
        return Asked(text)
    shares = torch.zeros(len(queries), len(captions))
    example_shares = torch.zeros(len(queries), len(examples))
    for row, query in enumerate(queries):
        share = 1 / (len(query.like) + bool(query.words.strip()))
        if query.words.strip():
            shares[row, captions.index(query.words)] += share
        for example in query.like:
            example_shares[row, examples.index(example)] += share
        for caption in query.minus:
            shares[row, captions.index(caption)] -= 1 / len(query.minus)
    if not examples:
        return Asked(text, shares)
    clips = [model.clip(*Example.of(example)) for example in examples]
    vectors = torch.cat([pooled(model.encode_clips([clip])) for clip in clips])
    return Asked(text, shares if captions else None, vectors, example_shares)
