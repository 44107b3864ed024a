"""Write MSVD's lists of captioned videos, from raw-captions.pkl and the three lists.

    python tools/data/msvd/prepare.py [--root data/msvd] [--frames] [--allow-missing]

README.md beside this file says what has to lie where.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from captions import Preparation, parser  # noqa: E402
from files import form, need, read_lines, read_pickle  # noqa: E402

# Videos: Side4Video, appendix; captions: https://huggingface.co/datasets/VLM2Vec/MSVD
OFFICIAL = dict(train=(1_200, 48_774), val=(100, 4_290), test=(670, 27_763))
SOURCE = 'it comes with the captions and lists of the data set (see README.md).'


def read_captions(path: Path) -> dict[str, list[str]]:
    """Captions of each video; a list of words is joined by blanks."""
    with form(path, '{video: [[word, ...], ...]}'):
        return {
            name: [text if isinstance(text, str) else ' '.join(text) for text in texts]
            for name, texts in read_pickle(path).items()
        }


def main() -> None:
    """Command line."""
    args = parser(__doc__, 'data/msvd').parse_args()
    lists = Preparation(args.root, args.frames, args.allow_missing)
    notes = args.root / 'annotations'
    captions = read_captions(need(notes / 'raw-captions.pkl', SOURCE))
    for split, official in OFFICIAL.items():
        names = read_lines(need(notes / f'{split}_list.txt', SOURCE))
        lists.add(f'{split}.json', names, captions, official)
    lists.finish()


if __name__ == '__main__':
    main()
