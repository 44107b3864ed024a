"""Write MSR-VTT's lists of captioned videos: 1k-A with 9k and 7k training videos, full split."""

from collections import defaultdict
from pathlib import Path

from .captions import Preparation
from .files import form, need, read_json, read_table

ALL = ('MSRVTT_data.json',)
PARTS = ('train_val_videodatainfo.json', 'test_videodatainfo.json')
# https://github.com/danieljf24/hybrid_space/blob/master/dataset/README.md has the numbers of the
# full split and of 7k, https://github.com/albanie/collaborative-experts those of 9k and 1k-A.
TRAIN = {'9k': (9_000, 180_000), '7k': (7_010, 140_200)}
FULL = dict(
    train=('train', (6_513, 130_260)),
    validate=('val', (497, 9_940)),
    test=('test', (2_990, 59_800)),
)
SOURCE = 'it comes with the captions and splits of the data set (see `prepare msrvtt --help`).'


def read_captions(notes: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Captions of each video, and the videos of each part of the full split."""
    names = PARTS if all((notes / name).exists() for name in PARTS) else ALL
    captions, splits = defaultdict(list), defaultdict(list)
    for name in names:
        content = read_json(need(notes / name, SOURCE))
        with form(notes / name, '{"sentences": [{"video_id": ..., "caption": ...}]}'):
            for sentence in content['sentences']:
                captions[sentence['video_id']].append(sentence['caption'])
            for video in content.get('videos', ()):
                splits[video.get('split')].append(video['video_id'])
    return captions, splits


def prepare(root: Path, frames: bool = False, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    lists = Preparation(root, frames, allow_missing)
    notes = root / 'annotations'
    captions, splits = read_captions(notes)
    for size, official in TRAIN.items():
        path = notes / f'MSRVTT_train.{size}.csv'
        if path.exists():
            names = [row['video_id'] for row in read_table(path, ('video_id',))]
            lists.add(f'train_{size}.json', names, captions, official)
    path = need(notes / 'MSRVTT_JSFUSION_test.csv', SOURCE)
    rows = read_table(path, ('video_id', 'sentence'))
    names = [row['video_id'] for row in rows]
    lists.add('test_1k-a.json', names, {r['video_id']: [r['sentence']] for r in rows}, (1000, 1000))
    if set(FULL) <= set(splits):
        for split, (name, official) in FULL.items():
            lists.add(f'{name}_full.json', splits[split], captions, official)
    else:
        print('note: the captions do not name train, validate and test; no lists *_full.json')
    lists.finish()
