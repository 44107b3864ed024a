"""Certificates of tables without tensors: frames of clips, crops, learning rates."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS

from ..datasets.neighbours import AddNeighbours
from ..datasets.spatial import SpatialViews
from .case import Line
from .rates import RATES

ABOUT = {'note', 'origin', 'torch', 'numpy'}  # entries that say where a table comes from
# start of the `source` of a file that is one table, its rows under `cases` -> the table's name
WHOLE = {'BBYL9413/TDS-CLIP': 'tds_frames'}
Row = dict[str, Any]


class TableCase:
    """A file of tables, each what a released function gives for many arguments.

    Args:
        content: tables by name; one that `TABLES` does not know fails.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.tables, self.info = tables_in(content), dict(source='tables of released functions')

    def lines(self) -> Iterator[Line]:
        """A line a table and mode: rows that differ, or the largest relative difference."""
        for name in sorted(self.tables.keys() - ABOUT):
            if name in TABLES:
                yield from TABLES[name](name, self.tables[name])
            else:
                yield Line(f'{name}: stored and not compared', float('inf'), 0.0)


def is_table(path: Path) -> bool:
    """Whether a file is one of ours to compare."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and not TABLES.keys().isdisjoint(tables_in(content))


def tables_in(content: dict[str, Any]) -> dict[str, Any]:
    """The tables of a file by name."""
    source = str(content.get('source'))
    name = next((name for start, name in WHOLE.items() if source.startswith(start)), None)
    if name is None:
        return content
    about = {'source', 'frames'}  # where it is from, and in words what it holds
    return {name: content.get('cases')} | {
        key: value for key, value in content.items() if key not in (*about, 'cases')
    }


# ------------------------------------------------------------------------- frames


def frames(modes: Callable[[Row], dict[str, dict]], first: int = 0) -> Callable:
    """What compares a table of frames.

    Args:
        modes: a row -> the step that gives each of its lists of frames.
        first: number of a video's first frame.
    """

    def compare_rows(name: str, rows: list[Row]) -> Iterator[Line]:
        wrong: dict[str, int] = {}
        for row in rows:
            steps = modes(row)
            for mode in {key for key, value in row.items() if type(value) is list} - steps.keys():
                wrong[f'{mode} (not compared)'] = len(rows)
            for mode, step in steps.items():
                raises = isinstance(row[mode], str)  # where the released code does, ours may not
                differs = not raises and drawn(step, row, first) != np.ravel(row[mode]).tolist()
                wrong[mode] = wrong.get(mode, 0) + differs
        for mode, count in wrong.items():
            yield Line(f'{name}/{mode}: rows of {len(rows)} that differ', float(count), 0.0)

    return compare_rows


def drawn(step: dict, row: Row, first: int) -> list[int]:
    """The frames that a step gives right after all generators were seeded."""
    seed = next(value for key, value in row.items() if 'seed' in key)
    random.seed(seed)
    np.random.seed(seed)
    given = dict(total_frames=row['num_video_frames'], start_index=first)
    return TRANSFORMS.build(step).transform(given)['frame_inds'].tolist()


def strided(row: Row) -> dict[str, dict]:
    """ST-Adapter and EVL: frames at a distance, or of equal parts."""
    train = dict(type='mmstadapter.SampleSegments', clip_len=row['T'])
    views = {}
    if row['sampling_rate'] > 0:
        train |= dict(type='mmstadapter.SampleStride', frame_interval=row['sampling_rate'])
        views = dict(num_views=row['views'])
    return dict(train=train, test=train | dict(test_mode=True) | views)


def side4video(rule: str) -> Callable[[Row], dict[str, dict]]:
    """Side4Video by the rule of a data set, or dense."""

    def modes(row: Row) -> dict[str, dict]:
        dense = row['dense']
        step = dict(
            type='mmstadapter.SampleSide4Video', clip_len=row['T'], rule='dense' if dense else rule
        )
        tests = {f'test_{n}_clips': step | dict(num_views=n, test_mode=True) for n in (1, 2, 4)}
        return dict(train=step, val=step | dict(test_mode=not dense)) | tests

    return modes


def aim(row: Row) -> dict[str, dict]:
    """AIM: equal parts, by Python's generator, or MMAction2's clips as they once were."""
    length = dict(clip_len=row['clip_len'])
    if row['frame_uniform']:
        return dict(
            train=dict(type='mmstadapter.SampleSide4Video', rule='kinetics', **length),
            test=dict(type='mmstadapter.SampleSegments', test_mode=True, **length),
        )
    train = dict(type='SampleFrames', frame_interval=row['frame_interval'], num_clips=1, **length)
    clips = dict(num_clips=row['test_clips'], test_mode=True)
    return dict(train=train, test=train | dict(type='mmstadapter.SampleMiddles') | clips)


def zeroi2v(row: Row) -> dict[str, dict]:
    """ZeroI2V: MMAction2's equal parts."""
    train = dict(type='UniformSample', clip_len=row['clip_len'], num_clips=row['num_clips'])
    return dict(train=train, test=train | dict(test_mode=True))


def dist(row: Row) -> dict[str, dict]:
    """DiST: points of equal parts."""
    train = dict(type='mmstadapter.SampleEvenly', clip_len=row['num_input_frames'])
    return dict(train=train, test=train | dict(num_views=row['views'], test_mode=True))


def groups(name: str, rows: list[Row]) -> Iterator[Line]:
    """TDS-CLIP's sampled frames, and the five that are read around each."""
    wrong = dict(sampled_1_based=0, frames_0_based=0)
    for row in rows:
        rule = 'kinetics' if row['data'].startswith('k') else 'something'
        step = dict(type='mmstadapter.SampleSide4Video', clip_len=8, rule=rule, test_mode=True)
        given = dict(total_frames=row['length'], start_index=1)
        found = TRANSFORMS.build(step | dict(num_views=row['clips'])).transform(given)
        wrong['sampled_1_based'] += found['frame_inds'].tolist() != row['sampled_1_based']
        ends = dict(video='last', folder='first')[row['modality']]
        read = AddNeighbours(5, ends).transform(found)['frame_inds'] - 1
        wrong['frames_0_based'] += read.tolist() != row['frames_0_based']
    for kind, count in wrong.items():
        yield Line(f'{name}/{kind}: rows of {len(rows)} that differ', float(count), 0.0)


def crops(name: str, rows: list[Row]) -> Iterator[Line]:
    """ST-Adapter's squares in testing."""
    wrong = 0
    for row in rows:
        views = SpatialViews(min(row['H'], row['W']), row['views'])
        wrong += [list(c) for c in views.corners(row['H'], row['W'])] != row['top_left']
    yield Line(f'{name}: rows of {len(rows)} that differ', float(wrong), 0.0)


TABLES: dict[str, Callable[[str, Any], Iterator[Line]]] = {
    'st_adapter_frames': frames(strided),
    'st_adapter_spatial_crops': crops,
    'side4video_sth_frames_1based': frames(side4video('something'), first=1),
    'side4video_kinetics_frames_1based': frames(side4video('kinetics'), first=1),
    'aim_frames': frames(aim),
    'zeroi2v_uniform_frames': frames(zeroi2v),
    'evl_frames': frames(strided),
    'dist_frames': frames(dist),
    'tds_frames': groups,
}
TABLES |= RATES
