"""Which files are videos, and lists of names that read back to the letter."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
from av.stream import Disposition
from mmengine.fileio import get_text

SUFFIXES = frozenset(
    '.264 .265 .3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ivf .m1v .m2t '
    '.m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf '
    '.nut .ogm .ogv .qt .rm .rmvb .tod .tp .trp .ts .vob .vro .webm .wmv .wtv .y4m'.split()
)
# Not worth opening: there may be hundred thousands of them beside the videos.
OTHERS = frozenset(
    '.aac .avif .bmp .csv .db .doc .docx .flac .gz .heic .heif .htm .html .ini .jpeg .jpg .json '
    '.jsonl .log .m4a .md .mp3 .npy .npz .pdf .pickle .pkl .png .pth .py .pyc .rar .srt .svg .tar '
    '.tif .tiff .toml .txt .url .vtt .wav .webp .xls .xlsx .xml .yaml .yml .zip'.split()
)
# Text that FFmpeg draws, and lists of other files.
_NO_CONTAINERS = {'concat', 'dash', 'hls', 'image2', 'sdp', 'tty'}
DELIMITER = '\t'  # between path and label: names may hold spaces
HIDDEN = ('.', '__MACOSX')  # so begin the names of what systems put beside one's files
_BOM = '\ufeff'


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, see :func:`why_not`."""
    return not why_not(path)


def why_not(path: Path) -> str:
    """Why a file is not taken for a video; empty for a video.

    A video has one of ``SUFFIXES``, in small letters or capitals. With another suffix or none
    (object stores, caches, downloads by id) the content says it.
    """
    if path.name.startswith(HIDDEN):
        return 'hidden'
    if not path.is_file():
        return 'a folder that cannot be read' if path.is_dir() else 'a link to nothing, or no file'
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or (suffix not in OTHERS and holds_video(path)):
        return ''
    return f'{suffix} is no video' if suffix in OTHERS else 'no video by its suffix or content'


def holds_video(path: Path) -> bool:
    """Whether FFmpeg finds moving pictures in a file, whatever its name."""
    try:
        with path.open('rb') as file, av.open(_Nameless(file), mode='r') as container:
            name = container.format.name
            if name.endswith('_pipe') or name in _NO_CONTAINERS:
                return False
            moving = [s for s in container.streams.video if not s.disposition & _COVER]
            packets = container.demux(moving[0]) if moving else iter(())
            return sum(1 for _, packet in zip(range(2), packets, strict=False) if packet.size) == 2
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return False


_COVER = Disposition.attached_pic | Disposition.still_image


class _Nameless:
    """A file of which FFmpeg sees the content alone."""

    def __init__(self, file) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and the folders in it; hidden folders are left out.

    Links to folders are followed, each folder once. A folder that cannot be read comes itself.
    """
    seen: set[tuple[int, int]] = set()
    closed: list[Path] = []
    walk = os.walk(folder, onerror=lambda e: closed.append(Path(e.filename)), followlinks=True)
    for here, folders, names in walk:
        state = os.stat(here)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        yield from (Path(here, name) for name in sorted(names))
    yield from closed


def sorted_out(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The videos in a folder and the folders in it, and why the other files are none."""
    reasons = {path: why_not(path) for path in sorted(files_below(folder))}
    return [p for p, why in reasons.items() if not why], {p: r for p, r in reasons.items() if r}


def in_numbers(reasons: Iterable[str]) -> str:
    """['.txt is no video', 'hidden', 'hidden'] -> '2 hidden, 1 .txt is no video'."""
    return ', '.join(f'{count} {reason}' for reason, count in Counter(reasons).most_common())


def why_not_listed(name: str) -> str:
    """Why a list cannot hold a name; empty where it can."""
    if any(sign in name for sign in '\t\r\n'):
        return 'its name holds a tab or a line break, which a list cannot; rename it'
    if not is_text(name):
        return 'its name is no text in UTF-8 (of an old disk?), which a list must be; rename it'
    return ''


def is_text(name: str) -> bool:
    """Whether a name can be written in UTF-8; on old disks there are others."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """A text file in UTF-8 with these lines, which :func:`read_lines` gives back to the letter."""
    text = ''.join(f'{line}\n' for line in lines)
    # A name may begin with the sign that readers take for a mark of the encoding.
    path.write_text(_BOM + text if text.startswith(_BOM) else text, encoding='utf-8', newline='')


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file in UTF-8, blanks and all; without a byte order mark.

    Raises:
        ValueError: if it is in another encoding.
    """
    try:
        text = get_text(str(path), encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text in UTF-8: {error}') from None
    lines = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
    return lines if lines[-1] else lines[:-1]
