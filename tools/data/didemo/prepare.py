"""Write DiDeMo's lists of videos with one paragraph each, its sentences joined in order.

    python tools/data/didemo/prepare.py [--root data/didemo] [--frames] [--allow-missing]

README.md beside this file says what has to lie where.
"""

import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from captions import Preparation, key, parser  # noqa: E402
from files import form, need, read_json, read_lines  # noqa: E402

# Of the json files, and of the lists that choose among them, which lack three videos:
# https://github.com/albanie/collaborative-experts/blob/master/misc/datasets/didemo/README.md
OFFICIAL = dict(train=8_395, val=1_065, test=1_004)
LISTED = OFFICIAL | dict(train=8_392)
SOURCE = 'it comes with LisaAnne/LocalizingMoments (see README.md).'


def read_paragraphs(path: Path) -> dict[str, list[str]]:
    """One caption a video: its sentences in the order of the file, joined by blanks."""
    sentences = defaultdict(list)
    with form(path, '[{"video": ..., "description": ...}]'):
        for item in read_json(need(path, SOURCE)):
            sentences[key(item['video'])].append(item['description'].strip())
    return {name: [' '.join(texts)] for name, texts in sentences.items()}


def main() -> None:
    """Command line."""
    args = parser(__doc__, 'data/didemo').parse_args()
    lists = Preparation(args.root, args.frames, args.allow_missing)
    notes = args.root / 'annotations'
    for split in OFFICIAL:
        paragraphs = read_paragraphs(notes / f'{split}_data.json')
        chosen = notes / f'{split}_list.txt'
        names = read_lines(chosen) if chosen.exists() else list(paragraphs)
        official = (LISTED if chosen.exists() else OFFICIAL)[split]
        lists.add(f'{split}.json', names, paragraphs, (official, official))
    lists.finish()


if __name__ == '__main__':
    main()
