"""Write the lists of HMDB51's three splits as MMAction2 has them, from the official split files.

    python tools/data/hmdb51/prepare.py [--root data/hmdb51] [--allow-missing]

README.md beside this file says what has to lie where.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from files import need, parser, read_lines  # noqa: E402
from lists import Entry, Preparation, class_folders  # noqa: E402

# 70 and 30 of each class: https://paperswithcode.com/dataset/hmdb51
OFFICIAL = dict(train=3_570, val=1_530)
MARKS = dict(train='1', val='2')  # 0: not used in this split
CLASSES = 51
SOURCE = 'unpack test_train_splits.rar there (see README.md).'


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


def main() -> None:
    """Command line."""
    args = parser(__doc__, 'data/hmdb51').parse_args()
    videos = need(args.root / 'videos', 'the folder of the class folders of .avi files.')
    notes = args.root / 'annotations'
    labels = class_folders(videos)
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, HMDB51 has {CLASSES}')
    lists = Preparation(args.root, labels, args.allow_missing)
    for split in (1, 2, 3):
        classes = [
            read_class(notes / f'{name}_test_split{split}.txt', name, number)
            for number, name in enumerate(labels)
        ]
        for part, count in OFFICIAL.items():
            entries = [entry for parts in classes for entry in parts[part]]
            lists.add(f'hmdb51_{part}_split_{split}_videos.txt', videos, entries, count)
    lists.finish('label_map_hmdb51.txt')


if __name__ == '__main__':
    main()
