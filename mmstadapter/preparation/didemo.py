"""Write DiDeMo's lists of videos with one paragraph each, its sentences joined in order."""

from collections import defaultdict
from pathlib import Path

from .captions import Preparation, key
from .files import form, need, read_json, read_lines

# Of the json files, and of the lists that choose among them, which lack three videos:
# https://github.com/albanie/collaborative-experts/blob/master/misc/datasets/didemo/README.md
OFFICIAL = dict(train=8_395, val=1_065, test=1_004)
LISTED = OFFICIAL | dict(train=8_392)
SOURCE = 'it comes with LisaAnne/LocalizingMoments (see `prepare didemo --help`).'


def read_paragraphs(path: Path) -> dict[str, list[str]]:
    """One caption a video: its sentences in the order of the file, joined by blanks."""
    sentences = defaultdict(list)
    with form(path, '[{"video": ..., "description": ...}]'):
        for item in read_json(need(path, SOURCE)):
            sentences[key(item['video'])].append(item['description'].strip())
    return {name: [' '.join(texts)] for name, texts in sentences.items()}


def prepare(root: Path, frames: bool = False, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    lists = Preparation(root, frames, allow_missing)
    notes = root / 'annotations'
    for split in OFFICIAL:
        paragraphs = read_paragraphs(notes / f'{split}_data.json')
        chosen = notes / f'{split}_list.txt'
        names = read_lines(chosen) if chosen.exists() else list(paragraphs)
        official = (LISTED if chosen.exists() else OFFICIAL)[split]
        lists.add(f'{split}.json', names, paragraphs, (official, official))
    lists.finish()
