"""Parameters and operations of the Side4Video recipes beside the paper's figures."""

from collections.abc import Iterator

from .. import shipped
from .costs import costs, frames_of, load, views_of

DATA = dict(
    k400='Kinetics-400', ssv1='Something-Something V1', ssv2='Something-Something V2'
)  # fmt: skip
# Config -> the paper's GFLOPs of all views, as printed, and its top-1 (Tables 2, 4 and 5).
PAPER = {
    'side4video_vit-b_k400': ('180 x 12', '83.6'),
    'side4video_vit-b_k400_16f': ('360 x 12', '83.9'),
    'side4video_vit-b_k400_32f': ('720 x 12', '84.2'),
    'side4video_vit-l_k400': ('870 x 12', '86.6'),
    'side4video_vit-l_k400_16f': ('1740 x 12', '87.0'),
    'side4video_vit-e_k400': ('7980 x 12', '88.3'),
    'side4video_vit-e_k400_16f': ('15960 x 12', '88.6'),
    'side4video_vit-b_ssv1': ('180 x 6', '59.4'),
    'side4video_vit-b_ssv1_16f': ('360 x 6', '60.7'),
    'side4video_vit-l_ssv1': ('870 x 6', '61.0'),
    'side4video_vit-l_ssv1_16f': ('1740 x 6', '62.4'),
    'side4video_vit-e_ssv1': ('7980 x 6', '65.3'),
    'side4video_vit-e_ssv1_16f': ('15960 x 6', '67.3'),
    'side4video_vit-b-light_ssv2': ('445', '68.6'),
    'side4video_vit-b_ssv2': ('180 x 6', '70.6'),
    'side4video_vit-b_ssv2_16f': ('360 x 6', '71.5'),
    'side4video_vit-l-light_ssv2': ('2092', '70.6'),
    'side4video_vit-l_ssv2': ('870 x 6', '71.9'),
    'side4video_vit-l_ssv2_16f': ('1740 x 6', '73.2'),
    'side4video_vit-e_ssv2': ('7980 x 6', '74.3'),
    'side4video_vit-e_ssv2_16f': ('15960 x 6', '75.2'),
}
TABLE_2 = {  # Something-Something V2, 3 clips of 1 crop: GFLOPs, tuned parameters, top-1
    'side4video_vit-b-light_ssv2': (445, '4 M', '68.6'),
    'side4video_vit-b_ssv2': (528, '21 M', '70.2'),
    'side4video_vit-l-light_ssv2': (2092, '22 M', '70.6'),
    'side4video_vit-l_ssv2': (2611, '102 M', '71.8'),
}
TEXT = """
## Side4Video

The frozen trunk is computed once and in full, so that there is one form. The operations are those of the authors' code; the paper's tool counts norms as well, about 0.1 %. For ViT-E/14 the paper's 7.98 TFLOPs a view are less than its layers need, 9.45. More frames are `--cfg-options clip_len=16` (with `model.backbone.recompute=block` where 32 need too much memory) and cost in proportion; those for which the paper has a result are configs of their own.

### Table 2: Something-Something V2, three views

"""  # noqa: E501
COLUMNS = (
    'config', 'frames', 'tuned', 'total', 'GMACs a view', 'views', 'x views', 'paper',
    'top-1, paper',
)  # fmt: skip


def stems(data: str) -> list[str]:
    """Side4Video configs of a data set, small ones and short clips first."""
    found = [name.removesuffix('.py') for name in shipped.configs()]
    found = [s for s in found if s.startswith('side4video_') and s.split('_')[2] == data]
    sizes = ['b32', 'b-light', 'b', 'l-light', 'l', 'e']
    return sorted(found, key=lambda s: (sizes.index(s.split('_')[1][4:]), frames_of(load(s))))


def link(stem: str) -> str:
    """A config as a link from docs/."""
    return f'[{stem}](../configs/{stem}.py)'


def row(stem: str) -> list[str]:
    """The cells of one config."""
    config = load(stem)
    cost, (clips, squares) = costs(config), views_of(config)
    gflops, top = PAPER.get(stem, ('', ''))
    return [
        link(stem),
        str(frames_of(config)),
        f'{cost.tuned:,} ({cost.tuned_without_classifier:,})',
        f'{cost.total:,}',
        f'{cost.ours / 1e9:,.1f}',
        f'{clips}x{squares}',
        f'{cost.ours * clips * squares / 1e9:,.1f}',
        gflops,
        top,
    ]


def table_2_row(stem: str) -> list[str]:
    """Operations of three views and tuned parameters beside the paper's."""
    cost, (gflops, tuned, top) = costs(load(stem)), TABLE_2[stem]
    operations = f'{3 * cost.ours / 1e9:,.1f}'
    return [link(stem), operations, f'{gflops:,}', f'{cost.tuned:,}', tuned, top]


def markdown(lines: list[list[str]]) -> str:
    """Rows as a table, the first one its head."""
    lines = [lines[0], ['---'] * len(lines[0]), *lines[1:]]
    return ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)


def side4video_tables() -> Iterator[str]:
    """Sections of the page, as Markdown."""
    columns = ['config', 'GMACs, 3 views', 'paper', 'tuned', 'paper', 'top-1, paper']
    yield TEXT + markdown([columns, *map(table_2_row, TABLE_2)])
    for data, title in DATA.items():
        yield f'\n### {title}\n\n'
        yield markdown([list(COLUMNS), *map(row, stems(data))])
