"""Write the lists of Something-Something V1, a set of frame folders, from the official csv files.

The counts that are called official are as commonly reported.
"""

from pathlib import Path

from .files import images_of, need, read_lines, some
from .lists import Entry, Preparation, match_folders

PREFIX = 'something-something-v1-'
OFFICIAL = dict(train=('train', 86_017), validation=('val', 11_522), test=('test', 10_960))
CLASSES = 174
FEWEST = 8  # frames that training and validation ask for
SOURCE = 'it comes with the annotations of the data set (see `prepare sthv1 --help`).'


def read(folder: Path, name: str) -> list[str]:
    """The lines of an official file."""
    return read_lines(need(folder / f'{PREFIX}{name}.csv', SOURCE))


def label_names(folder: Path) -> list[str]:
    """Names of the classes in alphabetical order, which numbers them as in V2."""
    names = read(folder, 'labels')
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SystemExit(f'{PREFIX}labels.csv: classes that occur twice: {some(twice)}')
    return sorted(names)


def entries(folder: Path, name: str, labels: list[str]) -> list[Entry]:
    """Folders of a split with the numbers of their classes; the test split has none."""
    numbers = {label: number for number, label in enumerate(labels)}
    found = []
    for number, line in enumerate(read(folder, name), 1):
        video, mark, label = line.partition(';')
        if name == 'test':
            found.append(Entry((video,), None))
        elif not mark or label not in numbers:
            raise SystemExit(
                f'{PREFIX}{name}.csv, line {number}: {line!r} is not "folder;class" with a class '
                f'of {PREFIX}labels.csv.'
            )
        else:
            found.append(Entry((video,), numbers[label]))
    return found


def report(file: str, lines: list[tuple]) -> None:
    """Say which folders training and validation will leave out."""
    short = [f'{line[0]} ({line[1]})' for line in lines if len(line) == 3 and line[1] < FEWEST]
    if short:
        print(f'  {len(short)} of {file} have fewer than {FEWEST} frames: {some(short)}')


def prepare(root: Path, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    frames = need(root / 'rawframes', 'the folder of the frame folders 1, 2, ...')
    notes = root / 'annotations'
    labels = label_names(notes)
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, Something-Something V1 has {CLASSES}')
    lists = Preparation(root, labels, allow_missing)
    for name, (split, official) in OFFICIAL.items():
        if name == 'test' and not (notes / f'{PREFIX}test.csv').exists():
            continue
        file = f'sthv1_{split}_list_frames.txt'
        lists.add(file, frames, entries(notes, name, labels), official, match_folders)
        report(file, lists.lists[file])
    for first in lists.lists['sthv1_train_list_frames.txt'][:1]:
        image = images_of(frames / first[0])[0]
        if image != '00001.jpg':
            print(f'note: the first image is {image}, not 00001.jpg: set filename_tmpl to fit')
    lists.finish('label_map_sthv1.txt')
