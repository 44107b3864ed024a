"""Write the lists of Something-Something V2 as MMAction2 has them, from the official json files."""

from pathlib import Path

from .files import form, need, need_one, read_json
from .lists import Entry, Preparation

PREFIX = 'something-something-v2-'
# https://developer.qualcomm.com/software/ai-datasets/something-something
OFFICIAL = dict(train=('train', 168_913), validation=('val', 24_777))
CLASSES = 174
SOURCE = 'it comes with the labels package of the data set (see `prepare sthv2 --help`).'


def find(folder: Path, name: str) -> Path:
    """An official file, under its older or newer name."""
    return need_one(folder, (f'{PREFIX}{name}.json', f'{name}.json'), SOURCE)


def read_labels(path: Path) -> dict[str, int]:
    """Number of each class, in the order of the numbers, which must be 0, 1, 2, ..."""
    with form(path, '{class: number}'):
        numbers = {name: int(number) for name, number in read_json(path).items()}
    names = sorted(numbers, key=numbers.__getitem__)
    if [numbers[name] for name in names] != list(range(len(names))):
        raise SystemExit(f'{path}: the numbers of the classes are not 0, 1, 2, ...')
    return {name: numbers[name] for name in names}


def entry(item: dict, numbers: dict[str, int]) -> Entry:
    """A video; its class is its template without the brackets."""
    template = item['template'].replace('[', '').replace(']', '')
    if template not in numbers:
        raise SystemExit(f'video {item["id"]}: class {template!r} is not in labels.json.')
    return Entry((str(item['id']),), numbers[template])


def prepare(root: Path, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    videos = need(root / 'videos', 'the folder of the .webm files.')
    notes = root / 'annotations'
    numbers = read_labels(find(notes, 'labels'))
    labels = list(numbers)
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, Something-Something V2 has {CLASSES}')
    lists = Preparation(root, labels, allow_missing)
    for name, (split, official) in OFFICIAL.items():
        path = find(notes, name)
        with form(path, '[{"id": ..., "template": ...}]'):
            entries = [entry(item, numbers) for item in read_json(path)]
        lists.add(f'sthv2_{split}_list_videos.txt', videos, entries, official)
    lists.finish('label_map_sthv2.txt')
