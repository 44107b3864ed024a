"""Write the lists of Kinetics-400 as MMAction2 has them, from the official csv files.

    python tools/data/kinetics400/prepare.py [--root data/kinetics400] [--allow-missing]
    python tools/data/kinetics400/prepare.py --from-folders     # without csv: class folders

README.md beside this file says what has to lie where.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from files import form, need, need_one, parser, read_table, videos_of  # noqa: E402
from lists import Entry, Preparation, class_folders  # noqa: E402

FILES = dict(  # MMAction2's names, then the official ones
    train=('kinetics_train.csv', 'train.csv'),
    val=('kinetics_val.csv', 'validate.csv', 'val.csv'),
)
COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end')
CLASSES = 400
SOURCE = 'unpack kinetics400.tar.gz there (see README.md), or take --from-folders.'


def entry(row: dict[str, str], numbers: dict[str, int]) -> Entry:
    """A row's video: id with its seconds, as the crawlers name files, or the id alone."""
    seconds = [f'{int(float(row[c])):06d}' for c in ('time_start', 'time_end')]
    clip = '_'.join([row['youtube_id'], *seconds])
    folder = row['label'].replace('"', '').replace(' ', '_')
    if row['label'] not in numbers:
        raise SystemExit(f'class {row["label"]!r} of {clip} does not occur in training.')
    names = (f'{folder}/{clip}', f'{folder}/{row["youtube_id"]}')
    return Entry(names, numbers[row['label']])


def from_folders(root: Path, numbers: dict[str, int]) -> Iterator[Entry]:
    """Every video of the class folders."""
    for path in videos_of(root):
        folder, _, name = path.partition('/')
        if name:
            if folder not in numbers:
                raise SystemExit(f'{root}: folder {folder!r} does not occur in training.')
            yield Entry((path.rpartition('.')[0],), numbers[folder])


def main() -> None:
    """Command line."""
    options = parser(__doc__, 'data/kinetics400')
    options.add_argument(
        '--from-folders', action='store_true', help='all videos there are, classes by folder'
    )
    args = options.parse_args()
    folders = {
        split: need(args.root / f'videos_{split}', f'the folder of the {split} videos.')
        for split in FILES
    }
    if args.from_folders:
        labels = class_folders(folders['train'])
    else:
        notes = args.root / 'annotations'
        files = {split: need_one(notes, names, SOURCE) for split, names in FILES.items()}
        rows = {split: read_table(path, COLUMNS) for split, path in files.items()}
        labels = sorted({row['label'] for row in rows['train']})
    if len(labels) != CLASSES:
        print(f'note: {len(labels)} classes, Kinetics-400 has {CLASSES}')
    numbers = {label: number for number, label in enumerate(labels)}
    lists = Preparation(args.root, labels, args.allow_missing)
    for split, folder in folders.items():
        if args.from_folders:
            entries = list(from_folders(folder, numbers))
        else:
            with form(files[split], 'times in seconds'):
                entries = [entry(row, numbers) for row in rows[split]]
        lists.add(f'kinetics400_{split}_list_videos.txt', folder, entries)
    lists.finish('label_map_k400.txt')


if __name__ == '__main__':
    main()
