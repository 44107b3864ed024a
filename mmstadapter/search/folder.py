"""Index a folder of videos: what is new, changed or gone, in steps that survive being killed."""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..ahead import ahead
from ..datasets.files import in_numbers, why_not
from ..datasets.packets import VideoReadError
from ..printing import shown
from ..progress import Progress
from .model import SearchModel
from .renaming import content, renamed
from .sharing import Collector, Read, Team, collecting
from .storage import VideoStamp
from .windows import Segment
from .writer import IndexWriter, writing

SECONDS = 10.0  # a segment, unless told otherwise
COMMIT_SECONDS, COMMIT_SEGMENTS = 30.0, 4096  # what a kill can lose


@dataclass
class IndexReport:
    """What a run did, and what the index holds now.

    Attributes:
        added: videos read into the index, changed ones among them.
        changed: videos that were there in another state.
        unchanged: videos left alone.
        gone: videos taken out because their files are gone.
        renamed: the path a video was indexed under, by its present one; it was not read again.
        bad: why videos cannot be decoded, of this run and earlier ones.
        closed: folders that cannot be read; what the index has of them is kept.
        videos: in the index now.
        segments: theirs.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    videos: int = 0
    segments: int = 0

    def asdict(self) -> dict[str, Any]:
        """As a dict that JSON can hold."""
        return asdict(self)


def index_videos(
    root: str | Path,
    index: str | Path,
    model: SearchModel,
    seconds: float = SECONDS,
    batch_size: int = 8,
    num_threads: int = 2,
    retry: bool = False,
    moved: bool = False,
    say: Callable[[str], None] = print,
) -> IndexReport:
    """Bring an index up to date with a folder of videos.

    Files whose size and time of change are as before are left alone, changed ones are indexed
    again, and those that are gone are taken out. What has the content of a video that is gone is
    that video under another name. Work is committed every 30 seconds: a run that
    was killed goes on from there. A file that cannot be decoded is noted and tried again when it
    changes. In a group of processes (torchrun) each reads a share of the videos, rank 0 writes,
    and all get its report.

    Args:
        root: the folder; videos may lie in folders in it. Links to folders are not followed.
        index: folder of the index, made if it is absent.
        model: see :class:`SearchModel`.
        seconds: each video is cut into equal segments of about this length; 0 for whole videos.
        batch_size: segments the model takes at a time.
        num_threads: videos decoded at the same time.
        retry: try bad files again even if they have not changed.
        moved: accept that the videos of the index now lie below ``root``.
        say: takes lines for the user.

    Raises:
        FileNotFoundError: no such folder.
        OSError: the folder cannot be read, or the index cannot be written.
        ValueError: no video in it; another model, root or segment length than the index's;
            features that are not finite.
        VideoIndexError: the index is damaged, or another process is writing it.
        TeamError: another process of the group failed, with its rank.
    """
    root, index, team = Path(root).resolve(), Path(index), Team()
    team.agree(_wrong(root, seconds, batch_size, num_threads), model.weights)

    def read(
        stamps: list[VideoStamp], report: IndexReport, bar: Progress, writer: IndexWriter | None
    ) -> None:
        with collecting(team, writer, partial(_note, report, bar)) as sink:
            run = _Run(sink, model, batch_size, report, bar)
            run.read(root, team.share(stamps, _size), seconds, num_threads)

    if team.rank:
        stamps = team.tell()
        with Progress('videos', len(stamps), say=_silent, hidden=True) as bar:
            read(stamps, IndexReport(), bar, None)
        return team.tell()
    with team.leading(), writing(index, model.describe(), root, seconds, say) as writer:
        found, closed = _found(root, say)
        _refuse_others(writer, model, root, seconds, moved)
        report, todo = _compare(writer, root, found, closed, retry)
        stamps = team.tell([found[path] for path in todo])
        with Progress('videos', len(stamps), sum(map(_size, stamps)), say) as bar:
            read(stamps, report, bar, writer)
        writer.tidy()
        writer.build_first_stage()
        report.videos, report.segments = len(writer.manifest.videos), writer.manifest.segments
        report.bad = {path: bad.reason for path, bad in writer.manifest.bad.items()}
        return team.tell(report)


def _wrong(root: Path, seconds: float, batch_size: int, num_threads: int) -> Exception | None:
    """What is wrong with the arguments on this machine."""
    if not root.is_dir():
        return FileNotFoundError(f'index_videos: no folder {root}.')
    if not 0 <= seconds < math.inf or batch_size < 1 or num_threads < 1:
        return ValueError(
            'index_videos: seconds must be a number from 0, batch_size and num_threads from 1, got '
            f'{seconds}, {batch_size}, {num_threads}.'
        )
    return None


def _found(root: Path, say: Callable[[str], None]) -> tuple[dict[str, VideoStamp], list[str]]:
    """The videos by path, and folders that cannot be read; says what else there is."""
    found, closed, others = _stamps(root)
    if others:
        say(f'left out: {in_numbers(others)}')
    if not found:
        raise ValueError(
            f'index_videos: no videos in {root}, so nothing is changed. Is the disk mounted?'
        )
    return found, closed


def _note(report: IndexReport, bar: Progress, read: Read) -> None:
    """Another process has read a video."""
    report.added += read.features is not None
    if read.features is None:
        bar.say(f'bad: {shown(read.stamp.path)}: {read.reason}')
    bar.done(read.stamp.path, read.stamp.size)


def _size(stamp: VideoStamp) -> int:
    return stamp.size


def _silent(line: str) -> None:
    """Rank 0 says it."""


def _stamps(root: Path) -> tuple[dict[str, VideoStamp], list[str], list[str]]:
    """The videos by path, sorted; folders that cannot be read; why other files are not videos."""
    closed: set[Path] = set()
    found, others = {}, []

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # gone since it was listed
            closed.add(Path(error.filename))

    for folder, _, files in os.walk(root, onerror=note):
        for path in (Path(folder, file) for file in files):
            try:
                if reason := why_not(path):
                    others.append(reason)
                else:
                    name, state = path.relative_to(root).as_posix(), path.stat()
                    found[name] = VideoStamp(name, state.st_size, state.st_mtime_ns)
            except FileNotFoundError:
                continue
            except OSError:
                closed.add(path.parent)
    if root in closed:
        raise PermissionError(f'index_videos: the folder {root} cannot be read.')
    folders = sorted(path.relative_to(root).as_posix() for path in closed)
    return dict(sorted(found.items())), folders, others


def _refuse_others(
    writer: IndexWriter, model: SearchModel, root: Path, seconds: float, moved: bool
) -> None:
    manifest = writer.manifest
    model.refuse_other(manifest.model)
    if manifest.seconds != seconds:
        raise ValueError(
            f'index_videos: {writer.folder} has segments of {manifest.seconds:g} s, asked for '
            f'{seconds:g} s. Use the same, or another folder for the index.'
        )
    if manifest.root != str(root) and not moved:
        raise ValueError(
            f'index_videos: {writer.folder} is the index of {manifest.root}, not of {root}. '
            'Choose another folder with --index; if the videos were moved there, say --moved.'
        )
    manifest.root = str(root)


def _compare(
    writer: IndexWriter, root: Path, found: dict[str, VideoStamp], closed: list[str], retry: bool
) -> tuple[IndexReport, list[str]]:
    """What to read; what is gone is dropped at the first commit."""
    known, bad = writer.known(), writer.manifest.bad
    hidden = {p for p in known if any(p.startswith(f'{folder}/') for folder in closed)}
    gone = sorted(known.keys() - found.keys() - hidden)
    report = IndexReport(gone=gone, closed=closed)
    for folder in closed:
        writer.say(f'cannot be read, so the index keeps what it has of it: {shown(folder)}/')
    todo = [p for p, stamp in found.items() if known.get(p) != stamp or (retry and p in bad)]
    olds = _rename(writer, root, {p: found[p] for p in todo}, gone)
    report.renamed = {p: old for p, old in olds.items() if p != old}
    report.gone = [p for p in gone if p not in report.renamed.values()]
    todo = [p for p in todo if p not in olds]
    report.unchanged = len(found) - len(todo) - len(report.renamed)
    report.changed = sum(path in known for path in todo)
    for path in report.gone:
        writer.say(f'gone: {shown(path)}')
    writer.drop(report.gone)
    say_new = f'{len(todo) - report.changed} new, {report.changed} changed'
    say_moved = f', {len(report.renamed)} renamed' if report.renamed else ''
    writer.say(
        f'{len(found)} videos: {say_new}, {report.unchanged} as before, {len(report.gone)} gone'
        + say_moved
    )
    return report, todo


def _rename(
    writer: IndexWriter, root: Path, todo: dict[str, VideoStamp], gone: list[str]
) -> dict[str, str]:
    """Which files have the content of one that was indexed; the old path by the present one."""
    stamps = writer.manifest.stamps()
    missing = {path: stamps[path] for path in {*gone, *todo} & stamps.keys()}
    olds = renamed(missing, todo, lambda path: content(root / path))
    for path, old in olds.items():
        if path != old:
            writer.say(f'renamed: {shown(old)} -> {shown(path)}')
    writer.rename(olds, todo)
    return olds


class _Run:
    """Decoding, encoding in batches across videos, committing."""

    def __init__(
        self,
        writer: IndexWriter | Collector,
        model: SearchModel,
        batch_size: int,
        report: IndexReport,
        progress: Progress,
    ) -> None:
        self.writer, self.model, self.batch_size = writer, model, batch_size
        self.report, self.progress = report, progress
        self.clips: list[tuple[_Video, Tensor]] = []  # to be encoded
        self.contents: dict[str, str] = {}  # SHA-256 by path, of what was decoded
        self.waiting: deque[_Video] = deque()  # decoded, not all of it encoded

    def read(self, root: Path, stamps: list[VideoStamp], seconds: float, num_threads: int) -> None:
        """Read these files; what was committed stays whatever happens."""
        last = time.monotonic()
        makers = [partial(self._segments, root / s.path, s, seconds) for s in stamps]
        streams = ahead(makers, num_threads)
        try:
            for stamp, stream in zip(stamps, streams, strict=True):
                self._read(stamp, stream)
                self.progress.done(stamp.path, stamp.size)
                late = time.monotonic() - last > COMMIT_SECONDS
                if late or self.writer.waiting >= COMMIT_SEGMENTS:
                    self._encode()
                    self.writer.commit()
                    last = time.monotonic()
            self._encode()
        finally:
            streams.close()

    def _segments(self, path: Path, stamp: VideoStamp, seconds: float) -> Iterator[Segment]:
        """Those of a video; its content is noted if it stayed the same meanwhile."""
        sha256 = content(path)
        yield from self.model.segments(path, seconds)
        state = path.stat()
        if (state.st_size, state.st_mtime_ns) == (stamp.size, stamp.mtime_ns):
            self.contents[stamp.path] = sha256

    def _read(self, stamp: VideoStamp, stream: Iterator[Segment]) -> None:
        """Decode a video; its segments are encoded whenever there are enough for a batch."""
        video = _Video(stamp)
        try:
            for segment in stream:
                video.spans.append((segment.start, segment.end))
                self.clips.append((video, segment.clip))
                if len(self.clips) == self.batch_size:
                    self._encode()
        except VideoReadError as error:
            self.clips = [pair for pair in self.clips if pair[0] is not video]
            self.writer.note_bad(stamp, error.reason)
            self.progress.say(f'bad: {shown(stamp.path)}: {error.reason}')
            return
        except Exception as error:
            error.add_note(f'This happened with {shown(stamp.path)}.')
            raise
        self.waiting.append(video)
        self.report.added += 1
        self._hand_over()

    def _encode(self) -> None:
        """Encode the clips that there are."""
        if self.clips:
            features = self.model.encode_clips([clip for _, clip in self.clips])
            for row, (video, _) in enumerate(self.clips):
                video.rows.append({name: t[row : row + 1] for name, t in features.items()})
            self.clips = []
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer the videos of which everything is encoded."""
        while self.waiting and len(self.waiting[0].rows) == len(self.waiting[0].spans):
            video = self.waiting.popleft()
            names = video.rows[0].keys()
            joined = {name: torch.cat([row[name] for row in video.rows]) for name in names}
            stamp = replace(video.stamp, sha256=self.contents.get(video.stamp.path, ''))
            self.writer.add(stamp, joined, video.spans)


@dataclass(eq=False)
class _Video:
    """A video on its way into the index: spans of its segments, features of those encoded."""

    stamp: VideoStamp
    spans: list[tuple[float, float]] = field(default_factory=list)
    rows: list[dict[str, Tensor]] = field(default_factory=list)
