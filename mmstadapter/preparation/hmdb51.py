"""Write the lists of HMDB51's three splits as MMAction2 has them, from the official split files."""

from pathlib import Path

from .files import need, read_lines
from .lists import Entry, Preparation, class_folders

# 70 and 30 of each class: https://paperswithcode.com/dataset/hmdb51
OFFICIAL = dict(train=3_570, val=1_530)
MARKS = dict(train='1', val='2')  # 0: not used in this split
CLASSES = 51
SOURCE = 'unpack test_train_splits.rar there (see `prepare hmdb51 --help`).'


def read_class(path: Path, folder: str, label: int) -> dict[str, list[Entry]]:
    """Training and testing videos of one class: lines ``video.avi mark``."""
    parts: dict[str, list[Entry]] = {part: [] for part in MARKS}
    for line in read_lines(need(path, SOURCE)):
        name, _, mark = line.rpartition(' ')
        if mark not in ('0', '1', '2') or not name:
            raise SystemExit(f'{path}: {line!r} is not "video.avi 0", 1 or 2.')
        for part, wanted in MARKS.items():
            if mark == wanted:
                stem = name.strip().rpartition('.')[0]
                parts[part].append(Entry((f'{folder}/{stem}',), label))
    return parts


def prepare(root: Path, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    videos = need(root / 'videos', 'the folder of the class folders of .avi files.')
    notes = root / 'annotations'
    labels = class_folders(videos)
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, HMDB51 has {CLASSES}')
    lists = Preparation(root, labels, allow_missing)
    for split in (1, 2, 3):
        classes = [
            read_class(notes / f'{name}_test_split{split}.txt', name, number)
            for number, name in enumerate(labels)
        ]
        for part, count in OFFICIAL.items():
            entries = [entry for parts in classes for entry in parts[part]]
            lists.add(f'hmdb51_{part}_split_{split}_videos.txt', videos, entries, count)
    lists.finish('label_map_hmdb51.txt')
