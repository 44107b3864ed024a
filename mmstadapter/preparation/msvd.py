"""Write MSVD's lists of captioned videos, from raw-captions.pkl and the three lists."""

from pathlib import Path

from .captions import Preparation
from .files import form, need, read_lines, read_pickle

# Videos: Side4Video, appendix; captions: https://huggingface.co/datasets/VLM2Vec/MSVD
OFFICIAL = dict(train=(1_200, 48_774), val=(100, 4_290), test=(670, 27_763))
SOURCE = 'it comes with the captions and lists of the data set (see `prepare msvd --help`).'


def read_captions(path: Path) -> dict[str, list[str]]:
    """Captions of each video; a list of words is joined by blanks."""
    with form(path, '{video: [[word, ...], ...]}'):
        return {
            name: [text if isinstance(text, str) else ' '.join(text) for text in texts]
            for name, texts in read_pickle(path).items()
        }


def prepare(root: Path, frames: bool = False, allow_missing: bool = False) -> None:
    """Write the lists into ``root``, the folder of the data set."""
    lists = Preparation(root, frames, allow_missing)
    notes = root / 'annotations'
    captions = read_captions(need(notes / 'raw-captions.pkl', SOURCE))
    for split, official in OFFICIAL.items():
        names = read_lines(need(notes / f'{split}_list.txt', SOURCE))
        lists.add(f'{split}.json', names, captions, official)
    lists.finish()
