"""Write the lists of Something-Something V2 as MMAction2 has them, from the official json files.

    python tools/data/sthv2/prepare.py [--root data/sthv2] [--allow-missing]

README.md beside this file says what has to lie where.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lists import Entry, Preparation, need, need_one, parser  # noqa: E402

PREFIX = 'something-something-v2-'
OFFICIAL = dict(train=('train', 168_913), validation=('val', 24_777))
CLASSES = 174
SOURCE = 'it comes with the labels package of the data set (see README.md).'


def read(folder: Path, name: str):
    """An official file, under its older or newer name."""
    path = need_one(folder, (f'{PREFIX}{name}.json', f'{name}.json'), SOURCE)
    return json.loads(path.read_text(encoding='utf-8'))


def label_names(numbers: dict[str, str]) -> list[str]:
    """Names of the classes in the order of their numbers, which must be 0, 1, 2, ..."""
    names = sorted(numbers, key=lambda name: int(numbers[name]))
    if [int(numbers[name]) for name in names] != list(range(len(names))):
        raise SystemExit('labels.json: the numbers of the classes are not 0, 1, 2, ...')
    return names


def entry(item: dict, numbers: dict[str, str]) -> Entry:
    """A video; its class is its template without the brackets."""
    template = item['template'].replace('[', '').replace(']', '')
    if template not in numbers:
        raise SystemExit(f'video {item["id"]}: class {template!r} is not in labels.json.')
    return Entry((str(item['id']),), int(numbers[template]))


def main() -> None:
    """Command line."""
    args = parser(__doc__, 'data/sthv2').parse_args()
    videos = need(args.root / 'videos', 'the folder of the .webm files.')
    notes = args.root / 'annotations'
    numbers = read(notes, 'labels')
    labels = label_names(numbers)
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, Something-Something V2 has {CLASSES}')
    lists = Preparation(args.root, labels, args.allow_missing)
    for name, (split, official) in OFFICIAL.items():
        entries = [entry(item, numbers) for item in read(notes, name)]
        lists.add(f'sthv2_{split}_list_videos.txt', videos, entries, official)
    lists.finish('label_map_sthv2.txt')


if __name__ == '__main__':
    main()
