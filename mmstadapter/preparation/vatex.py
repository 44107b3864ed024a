"""Write VATEX's lists of captioned videos (English), from its json files and three lists."""

from pathlib import Path

from .captions import Preparation
from .files import each_once, form, need, read_json, read_lines

# https://github.com/danieljf24/hybrid_space/blob/master/dataset/README.md, on the split of HGR
OFFICIAL = dict(train=(25_991, 259_910), val=(1_500, 15_000), test=(1_500, 15_000))
PUBLIC = ('vatex_training_v1.0.json', 'vatex_validation_v1.0.json')
SOURCE = 'it comes with the captions and lists of the data set (see `prepare vatex --help`).'


def read_captions(notes: Path) -> dict[str, list[str]]:
    """English captions of each video, from the public files or those put together by id."""
    if all((notes / name).exists() for name in PUBLIC):
        videos = [video for name in PUBLIC for video in read_json(notes / name)]
        with form(notes / PUBLIC[0], '[{"videoID": ..., "enCap": [...]}]'):
            return each_once((video['videoID'], video['enCap']) for video in videos)
    path = need(notes / 'vatex_data.json', f'or {" and ".join(PUBLIC)}: {SOURCE}')
    with form(path, '{video: {"enCap": [...]}}'):
        return {name: video['enCap'] for name, video in read_json(path).items()}


def prepare(root: Path, frames: bool = False, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    lists = Preparation(root, frames, allow_missing)
    notes = root / 'annotations'
    captions = read_captions(notes)
    for split, official in OFFICIAL.items():
        names = read_lines(need(notes / f'{split}_list.txt', SOURCE))
        lists.add(f'{split}.json', names, captions, official)
    lists.finish()
