"""Write the lists of UCF101's three splits as MMAction2 has them, from the official split files.

The counts that are called official are as commonly reported; each split has all 13,320 videos.
"""

from collections.abc import Iterator
from pathlib import Path

from .files import form, need, read_lines, some
from .lists import Entry, Preparation, class_folders

OFFICIAL = {1: (9_537, 3_783), 2: (9_586, 3_734), 3: (9_624, 3_696)}  # training, testing
CLASSES = 101
SOURCE = 'unpack UCF101TrainTestSplits-RecognitionTask.zip there (see `prepare ucf101 --help`).'


def read_classes(notes: Path, videos: Path) -> list[str]:
    """Names of the classes: those of the folders, in the order of classInd.txt."""
    path = need(notes / 'classInd.txt', SOURCE)
    with form(path, 'lines "1 Class"'):
        pairs = [(int(number), name) for number, name in map(str.split, read_lines(path))]
    if [number for number, _ in pairs] != list(range(1, len(pairs) + 1)):
        raise SystemExit(f'{path}: the numbers of the classes are not 1, 2, 3, ...')
    names = [name for _, name in pairs]
    unknown = sorted(set(class_folders(videos)) - set(names))
    if unknown:
        raise SystemExit(f'{videos}: folders that are no classes of {path}: {some(unknown)}')
    return names


def read_split(path: Path, labels: list[str]) -> Iterator[Entry]:
    """Lines ``Class/video.avi`` or ``Class/video.avi number``, numbers from 1."""
    for line in read_lines(need(path, SOURCE)):
        name, *number = line.split()
        folder = name.partition('/')[0]
        if folder not in labels or (number and [str(labels.index(folder) + 1)] != number):
            raise SystemExit(f'{path}: {line!r} does not agree with classInd.txt.')
        yield Entry((name.rpartition('.')[0],), labels.index(folder))


def prepare(root: Path, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    videos = need(root / 'videos', 'the folder of the class folders of .avi files.')
    notes = root / 'annotations'
    labels = read_classes(notes, videos)
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, UCF101 has {CLASSES}')
    lists = Preparation(root, labels, allow_missing)
    for split, official in OFFICIAL.items():
        for part, source, count in zip(('train', 'val'), ('train', 'test'), official, strict=True):
            entries = read_split(notes / f'{source}list{split:02d}.txt', labels)
            lists.add(f'ucf101_{part}_split_{split}_videos.txt', videos, entries, count)
    lists.finish('label_map_ucf101.txt')
