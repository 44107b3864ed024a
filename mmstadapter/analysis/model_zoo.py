"""The page of recipes: parameters and operations beside the papers' figures."""

from collections.abc import Iterator

from mmengine.registry import init_default_scope

from .. import shipped
from .costs import costs, frames_of, load, views_of
from .side4video_rows import markdown, side4video_tables

DATA = dict(k400='Kinetics-400', ssv2='Something-Something V2', ucf101='UCF101', hmdb51='HMDB51')
# Config -> the paper's GFLOPs of all views (Tables 2 and 3), its top-1 (also Table 7), and
# the released code's top-1.
PAPER: dict[str, tuple[int | None, str, str]] = {
    'stadapter_vit-b_k400': (455, '82.0', '82.2'),
    'stadapter_vit-b_k400_16f': (911, '82.5', ''),
    'stadapter_vit-b_k400_32f': (1821, '82.7', ''),
    'stadapter_vit-b-paper_k400': (455, '82.0', ''),
    'stadapter_vit-l_k400': (2062, '86.7', ''),
    'stadapter_vit-l_k400_16f': (4124, '86.9', ''),
    'stadapter_vit-l_k400_32f': (8248, '87.2', ''),
    'stadapter_vit-l-paper_k400': (2062, '86.7', ''),
    'stadapter_vit-b_ssv2': (489, '67.1', '66.9'),
    'stadapter_vit-b_ssv2_16f': (977, '69.3', ''),
    'stadapter_vit-b_ssv2_32f': (1955, '69.5', ''),
    'stadapter_vit-b-paper_ssv2': (489, '67.1', ''),
    'stadapter_vit-l_ssv2': (2062, '70.0', ''),
    'stadapter_vit-l_ssv2_16f': (4124, '71.9', ''),
    'stadapter_vit-l_ssv2_32f': (8248, '72.3', ''),
    'stadapter_vit-l-paper_ssv2': (2062, '70.0', ''),
    'stadapter_vit-b_ucf101': (None, '96.4', ''),
    'stadapter_vit-l_ucf101': (None, '98.1', ''),
    'stadapter_vit-l336_ucf101': (None, '98.3', ''),
    'stadapter_vit-b_hmdb51': (None, '77.7', ''),
    'stadapter_vit-l_hmdb51': (None, '81.7', ''),
    'stadapter_vit-l336_hmdb51': (None, '82.8', ''),
}
HEAD = """# Model zoo

ST-Adapter and Side4Video with CLIP and EVA-CLIP trunks: what each recipe tunes and what it costs, beside the papers' figures. `mmstadapter report --write docs/model_zoo.md` writes this page, and a test keeps it true.

* **Tuned** and **total** parameters, the classifier included in both. In brackets, tuned without the classifier.
* **GMACs a view**: 1e9 multiply-adds, one counted once, for one clip of one square. Counted are matrix products, convolutions and attention; not norms, activations, additions, softmax. These are the papers' "GFLOPs".
* **Full form**: what the authors' code computes, all tokens through all layers. **Ours**, for ST-Adapter: the head reads the class token alone, so the last block is computed for one query and the adapters behind its attention not at all; the result is the same.
* **x views**: the full form times the views of the test protocol (clips x squares), to compare with **paper**, whose tool counts norms as well, about 0.1 %. The paper gives none for UCF101 and HMDB51.
* **Top-1**: the paper's and the released code's, on one split of Kinetics-400 and Something-Something V2, the mean of three splits on UCF101 and HMDB51. We have not trained these models.
"""  # noqa: E501
COLUMNS = (
    'config', 'frames', 'tuned', 'total', 'GMACs a view, full form', 'ours', 'views', 'x views',
    'paper', 'top-1, paper', 'top-1, released',
)  # fmt: skip


def stems(data: str) -> list[str]:
    """ST-Adapter configs on CLIP of a data set: those of the paper in its order, then others."""
    found = [name.removesuffix('.py') for name in shipped.configs()]
    found = [s for s in found if s.startswith('stadapter_') and data in s.split('_')]
    found = [s for s in found if load(s).model.backbone.trunk.type == 'mmstadapter.CLIPViT']
    return sorted(found, key=lambda s: (s not in PAPER, [*PAPER, s].index(s), s))


def row(stem: str) -> list[str]:
    """The cells of one config."""
    config = load(stem)
    cost, (clips, squares) = costs(config), views_of(config)
    gflops, paper, released = PAPER.get(stem, (None, '', ''))
    return [
        f'[{stem}](../configs/{stem}.py)',
        str(frames_of(config)),
        f'{cost.tuned:,} ({cost.tuned_without_classifier:,})',
        f'{cost.total:,}',
        f'{cost.full / 1e9:,.1f}',
        f'{cost.ours / 1e9:,.1f}',
        f'{clips}x{squares}',
        f'{cost.full * clips * squares / 1e9:,.1f}',
        f'{gflops:,}' if gflops else '',
        paper,
        released,
    ]


def tables() -> Iterator[str]:
    """A heading and a table for each data set, as Markdown."""
    init_default_scope('mmaction')
    for data, title in DATA.items():
        yield f'\n## ST-Adapter, {title}\n\n'
        yield markdown([list(COLUMNS), *map(row, stems(data))])
    yield from side4video_tables()


def page() -> str:
    """All of docs/model_zoo.md."""
    return HEAD + ''.join(tables())
