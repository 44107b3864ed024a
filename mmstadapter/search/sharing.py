"""One index by several processes: each reads its share of the videos, rank 0 writes.

Every so often all meet (:meth:`Team.meet`): what was read goes to rank 0, which commits it and
says how it went. So there is one writer and one lock, as with a single process, and the index is
whole whichever process dies when. Without a group of processes nothing here does anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import torch.distributed as dist
from mmengine.dist import get_dist_info, is_distributed
from torch import Tensor

from .storage import VideoStamp
from .writer import IndexWriter

T = TypeVar('T')


class Read(NamedTuple):
    """A video that was read: features and spans of its segments, or why it has none."""

    stamp: VideoStamp
    features: dict[str, Tensor] | None = None
    spans: list[tuple[float, float]] | None = None
    reason: str = ''


@dataclass
class Part:
    """What a process brings to a meeting."""

    reads: list[Read] = field(default_factory=list)
    is_done: bool = False
    error: str = ''


@dataclass(frozen=True)
class Told:
    """What rank 0 says to the others; an error is raised by all of them."""

    value: Any = None
    error: str = ''


class TeamError(RuntimeError):
    """Another process of the run failed."""


class TeamLostError(TeamError):
    """Another process of the run is gone without a word."""


class Team:
    """The processes that make one index; of one process too, which then waits for nobody."""

    def __init__(self) -> None:
        self.rank, self.size = get_dist_info()
        # Features travel from memory, whatever the group of a GPU run is.
        gloo = is_distributed() and dist.get_backend() != 'gloo'
        self.group = dist.new_group(backend='gloo') if gloo else None
        self.is_over = False  # all know of the same error

    def agree(self, error: Exception | None, same: Mapping[str, str]) -> None:
        """Go on only if no process has an error, and all have the same weights.

        Raises:
            TeamError: with the rank whose error or weights are other.
        """
        entry = ('' if error is None else str(error), dict(same))
        entries: list[Any] = [entry]
        if self.size > 1:
            entries *= self.size
            with self._linked():
                dist.all_gather_object(entries, entry, group=self.group)
        if error is not None:
            raise error
        for rank, (reason, weights) in enumerate(entries):
            if reason:
                raise TeamError(f'index_videos: rank {rank}: {reason}')
            if weights != entries[0][1]:
                raise TeamError(
                    f'index_videos: rank {rank} has read other weights than rank 0. Give all '
                    'processes the same files: --checkpoint, or a folder that all see.'
                )

    def share(self, items: Sequence[T], size_of: Callable[[T], int]) -> list[T]:
        """Those of this process: about as much as the others', if ``size_of`` says how much."""
        if self.size == 1:
            return list(items)
        return sorted(items, key=size_of, reverse=True)[self.rank :: self.size]

    def tell(self, value: Any = None) -> Any:
        """What rank 0 gives; the others give nothing and get it.

        Raises:
            TeamError: if rank 0 failed instead.
        """
        told = self._broadcast(Told(value))
        if told.error:
            raise TeamError(f'index_videos: rank 0: {told.error}')
        return told.value

    @contextmanager
    def leading(self) -> Iterator[None]:
        """On rank 0: whoever waits for a word hears an error of what is done in here."""
        try:
            yield
        except Exception as error:
            if not self.is_over:
                self._broadcast(Told(error=str(error)))
            raise

    def meet(self, part: Part, writer: IndexWriter | None) -> tuple[bool, list[Read]]:
        """Bring what was read; gives whether all are done, and on rank 0 what the others brought.

        Raises:
            TeamError: if another process failed. What all had brought is in the index.
        """
        parts: list[Part] = [part] * self.size
        with self._linked():
            dist.gather_object(part, parts if self.rank == 0 else None, group=self.group)
        errors = [f'rank {rank}: {p.error}' for rank, p in enumerate(parts) if p.error]
        others = [read for p in parts[1:] for read in p.reads] if self.rank == 0 else []
        if writer is not None:
            errors += [f'rank 0: {error}' for error in _write(writer, [*part.reads, *others])]
        told = self._broadcast(Told(all(p.is_done for p in parts), ' '.join(errors[:1])))
        if told.error:
            self.is_over = True
            if not part.error:
                raise TeamError(
                    f'index_videos: {told.error} What was indexed before is kept; the same '
                    'command goes on from there.'
                )
        return told.value, others

    def _broadcast(self, told: Told) -> Told:
        entries = [told]
        if self.size > 1:
            with self._linked():
                dist.broadcast_object_list(entries, src=0, group=self.group)
        return entries[0]

    @contextmanager
    def _linked(self) -> Iterator[None]:
        """Raise TeamLostError, and meet no more, if another process does not answer."""
        try:
            yield
        except RuntimeError as error:
            self.is_over = True
            raise TeamLostError(
                f'index_videos: rank {self.rank} of {self.size} has lost another process: '
                f'{error}. What was indexed before is kept; the same command goes on from there.'
            ) from error


class Collector:
    """Takes the place of the writer in a process of a team: keeps what is read until they meet."""

    def __init__(
        self, team: Team, writer: IndexWriter | None, note: Callable[[Read], None]
    ) -> None:
        self.team, self.writer, self.note = team, writer, note
        self.part = Part()

    @property
    def waiting(self) -> int:
        """Segments that no meeting has taken yet."""
        return sum(len(read.spans or ()) for read in self.part.reads)

    def add(
        self, stamp: VideoStamp, features: Mapping[str, Tensor], spans: list[tuple[float, float]]
    ) -> None:
        """As that of the writer."""
        on_cpu = {name: tensor.cpu() for name, tensor in features.items()}
        self.part.reads.append(Read(stamp, on_cpu, spans))

    def note_bad(self, stamp: VideoStamp, reason: str) -> None:
        """As that of the writer."""
        self.part.reads.append(Read(stamp, reason=reason))

    def commit(self) -> bool:
        """Meet the others; gives whether all are done."""
        part, self.part = self.part, Part(is_done=self.part.is_done)
        all_done, reads = self.team.meet(part, self.writer)
        for read in reads:
            self.note(read)
        return all_done

    def finish(self, error: Exception | None = None) -> None:
        """Meet until all are done, or all know of an error."""
        if self.team.is_over:
            return
        self.part = replace(self.part, is_done=True, error='' if error is None else _text(error))
        while not self.commit() and not self.team.is_over:
            pass


@contextmanager
def collecting(
    team: Team, writer: IndexWriter | None, note: Callable[[Read], None]
) -> Iterator[Any]:
    """Where to put videos that were read; what is there at the end counts, however it comes.

    Args:
        team: of this run.
        writer: of the index, on rank 0.
        note: called on rank 0 with each :class:`Read` that another process brought.
    """
    if team.size == 1 and writer is not None:
        try:
            yield writer
        finally:
            writer.commit()
        return
    collector = Collector(team, writer, note)
    try:
        yield collector
    except Exception as error:
        collector.finish(error)
        raise
    except BaseException:  # nobody is waited for any more
        if writer is not None:
            _write(writer, collector.part.reads)
        raise
    collector.finish()


def _write(writer: IndexWriter, reads: Sequence[Read]) -> list[str]:
    """Commit what was read; what went wrong."""
    errors = []
    for read in reads:
        try:
            if read.features is None or read.spans is None:
                writer.note_bad(read.stamp, read.reason)
            else:
                writer.add(read.stamp, read.features, read.spans)
        except ValueError as error:
            errors.append(str(error))
    try:
        writer.commit()
    except (OSError, ValueError) as error:
        errors.append(str(error))
    return errors


def _text(error: Exception) -> str:
    notes = ' '.join(getattr(error, '__notes__', []))
    return f'{type(error).__name__}: {error} {notes}'.strip()
