"""The frames around each sampled one, at the ends of a video, through a pipeline, as released."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose

from mmstadapter import AddNeighbours, shipped
from mmstadapter.checks import prepare
from mmstadapter.datasets.neighbours import group_size
from mmstadapter.datasets.repeated import RepeatedPipeline

RELEASED = json.loads((Path(__file__).parents[1] / 'reference/tds_frames.json').read_text())
DEMO = 'tdsclip_vit-tiny_demo-motion.py'


def neighbours(sampled: list[int], total: int, start: int = 0, **options) -> list[int]:
    given = dict(frame_inds=np.array(sampled), total_frames=total, start_index=start, clip_len=2)
    return AddNeighbours(**options).transform(given)['frame_inds'].tolist()


def test_the_ends_of_a_video_are_repeated():
    assert neighbours([0, 9], 10) == [0, 0, 0, 1, 2, 7, 8, 9, 9, 9]
    assert neighbours([1, 5], 6, start=1) == [1, 1, 1, 2, 3, 3, 4, 5, 6, 6]
    assert neighbours([4], 9, num_diff=7) == [1, 2, 3, 4, 5, 6, 7]
    assert neighbours([0], 1) == [0] * 5


def test_the_released_way_of_reading_files_takes_the_last_frames_for_those_before_the_first():
    assert neighbours([0, 9], 10, before_first='last') == [8, 9, 0, 1, 2, 7, 8, 9, 9, 9]
    assert neighbours([0], 1, before_first='last') == [0] * 5


@pytest.mark.parametrize(
    'row', RELEASED['cases'], ids=lambda r: '-'.join(str(r[k]) for k in list(r)[:5])
)
def test_the_frames_are_those_of_the_released_code(row):
    rule = dict(k400='kinetics', sth='something')[row['data']]
    step = dict(type='mmstadapter.SampleSide4Video', clip_len=8, rule=rule, test_mode=True)
    given = dict(total_frames=row['length'], start_index=0)
    found = TRANSFORMS.build(step | dict(num_views=row['clips'])).transform(given)
    before_first = 'last' if row['modality'] == 'video' else 'first'
    read = AddNeighbours(5, before_first).transform(found)['frame_inds'].tolist()
    assert read == row['frames_0_based']


@pytest.mark.parametrize(
    'options, said',
    [(dict(num_diff=4), 'must be odd'), (dict(before_first='end'), 'before_first must be one of')],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(ValueError, match=f'AddNeighbours: .*{said}'):
        AddNeighbours(**options)


class Frames:
    """A video whose frame i is i everywhere."""

    fps = 25.0

    def __init__(self, total: int, size: tuple[int, int] = (32, 32)) -> None:
        self.total, self.size = total, size

    def __len__(self) -> int:
        return self.total

    def read(self, indices) -> list[np.ndarray]:
        return [np.full((*self.size, 3), index, np.uint8) for index in indices]


def clip_of(steps: list[dict], video: Frames) -> torch.Tensor:
    """What a pipeline makes of an opened video."""
    steps = [s for s in steps if not s['type'].endswith('VideoInit')]
    return Compose(steps)(opened(video))['inputs']


def opened(video: Frames) -> dict:
    """What VideoInit gives."""
    about = dict(total_frames=len(video), start_index=0, label=0, modality='RGB')
    return about | dict(video_reader=video)


def test_a_pipeline_gives_whole_groups_in_order():
    steps = Config.fromfile(shipped.config(DEMO)).test_dataloader.dataset.pipeline
    assert group_size(steps) == 5
    clip = clip_of(steps, Frames(24))
    assert clip.shape == (1, 3, 40, 32, 32)
    middles = [1, 4, 7, 10, 13, 16, 19, 22]
    expected = [min(max(m + d, 0), 23) for m in middles for d in range(-2, 3)]
    assert clip[0, 0, :, 0, 0].tolist() == expected


def test_views_and_squares_keep_their_groups_together():
    steps = Config.fromfile(
        shipped.config('tdsclip_vit-b_k400.py')
    ).test_dataloader.dataset.pipeline
    clip = clip_of(steps, Frames(100, (240, 320)))
    assert clip.shape == (12, 3, 40, 224, 224)
    groups = clip[:, 0, :, 0, 0].long().view(12, 8, 5)
    assert torch.equal(groups.diff(dim=-1).clamp(max=1), (groups.diff(dim=-1) > 0).long())
    inner = groups[:, 1:-1]
    assert torch.equal(inner - inner[..., 2:3], torch.arange(-2, 3).expand_as(inner))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['tdsclip_vit-b_k400.py', 'tdsclip_vit-b_ssv2.py'])
def test_all_frames_of_a_clip_are_changed_alike_and_copies_apart(name):
    """Of a video that stands still, all 40 frames of a training clip are the same afterwards."""

    class Still(Frames):
        def read(self, indices) -> list[np.ndarray]:
            picture = np.random.default_rng(0).integers(0, 256, (*self.size, 3), np.uint8)
            return [picture.copy() for _ in indices]

    dataset = Config.fromfile(shipped.config(name)).train_dataloader.dataset
    assert dataset.num_sample == 2
    steps = [s for s in dataset.pipeline if not s['type'].endswith('VideoInit')]
    video = Still(30, (60, 80))
    first, second = (copy['inputs'] for copy in RepeatedPipeline(steps, 2)(opened(video)))
    assert first.shape == second.shape == (1, 3, 40, 224, 224)
    for clip in (first, second):
        assert torch.equal(clip, clip[:, :, :1].expand_as(clip))
    assert not torch.equal(first, second)


def test_the_length_of_a_clip_is_one_field_whose_groups_follow():
    config = Config.fromfile(shipped.config(DEMO))
    config.merge_from_dict({'clip_len': 4})
    config, _ = prepare(config)
    assert clip_of(config.test_dataloader.dataset.pipeline, Frames(24)).shape[2] == 20
