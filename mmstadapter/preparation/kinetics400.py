"""Write the lists of Kinetics-400 as MMAction2 has them, from the official csv files."""

from collections.abc import Iterator
from pathlib import Path

from .files import form, need, need_one, read_table, videos_of
from .lists import Entry, Preparation, class_folders

FILES = dict(  # MMAction2's names, then the official ones
    train=('kinetics_train.csv', 'train.csv'),
    val=('kinetics_val.csv', 'validate.csv', 'val.csv'),
)
COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end')
CLASSES = 400
SOURCE = (
    'unpack kinetics400.tar.gz there (see `prepare kinetics400 --help`), or take --from-folders.'
)


def entry(row: dict[str, str], numbers: dict[str, int]) -> Entry:
    """A row's video: id with its seconds, as the crawlers name files, or the id alone."""
    seconds = [f'{int(float(row[c])):06d}' for c in ('time_start', 'time_end')]
    clip = '_'.join([row['youtube_id'], *seconds])
    folder = row['label'].replace('"', '').replace(' ', '_')
    if row['label'] not in numbers:
        raise SystemExit(f'class {row["label"]!r} of {clip} does not occur in training.')
    names = (f'{folder}/{clip}', f'{folder}/{row["youtube_id"]}')
    return Entry(names, numbers[row['label']])


def entries_of_folders(root: Path, numbers: dict[str, int]) -> Iterator[Entry]:
    """Every video of the class folders."""
    for path in videos_of(root):
        folder, _, name = path.partition('/')
        if name:
            if folder not in numbers:
                raise SystemExit(f'{root}: folder {folder!r} does not occur in training.')
            yield Entry((path.rpartition('.')[0],), numbers[folder])


def prepare(root: Path, allow_missing: bool = False, from_folders: bool = False) -> None:
    """Write the lists into ``root``; ``from_folders``: of all videos there are, without csv."""
    folders = {
        split: need(root / f'videos_{split}', f'the folder of the {split} videos.')
        for split in FILES
    }
    if from_folders:
        labels = class_folders(folders['train'])
    else:
        notes = root / 'annotations'
        files = {split: need_one(notes, names, SOURCE) for split, names in FILES.items()}
        rows = {split: read_table(path, COLUMNS) for split, path in files.items()}
        labels = sorted({row['label'] for row in rows['train']})
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, Kinetics-400 has {CLASSES}')
    numbers = {label: number for number, label in enumerate(labels)}
    lists = Preparation(root, labels, allow_missing)
    for split, folder in folders.items():
        if from_folders:
            entries = list(entries_of_folders(folder, numbers))
        else:
            with form(files[split], 'times in seconds'):
                entries = [entry(row, numbers) for row in rows[split]]
        lists.add(f'kinetics400_{split}_list_videos.txt', folder, entries)
    lists.finish('label_map_k400.txt')
