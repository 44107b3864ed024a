"""Frames for retrieval are those of the released code, and too few frames are no accident."""

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS


def frames(total: int, **options) -> list[int]:
    """Frame numbers from 1, as the released code counts, for 12 frames of a test video."""
    made = dict(type='mmstadapter.SampleSpread', clip_len=12, test_mode=True) | options
    extra = {k: made.pop(k) for k in ('avg_fps', 'start_index') if k in made}
    results = TRANSFORMS.build(made)(dict(total_frames=total, **extra))
    assert results['total_frames'] == total
    return (results['frame_inds'] - extra.get('start_index', 0) + 1).tolist()


class TestReleasedRules:
    """Numbers of HJYao00/Side4Video 5d723523c72d, Retrieval/dataloaders/rawframes_util.py."""

    def test_every(self):
        assert frames(131) == [1, 11, 21, 31, 41, 51, 71, 81, 91, 101, 111, 131]
        assert frames(100, cut='first') == [1, 9, 17, 25, 33, 41, 49, 57, 65, 73, 81, 89]
        assert frames(301, cut='last')[::11] == [26, 301]

    def test_middle(self):
        expected = [6, 17, 28, 39, 50, 61, 71, 82, 93, 104, 115, 126]
        assert frames(131, rule='middle') == expected

    def test_ends_are_spread_from_the_first_to_the_last(self):
        assert frames(40, rule='ends') == [1, 4, 8, 11, 15, 18, 22, 25, 29, 32, 36, 40]
        assert frames(3, rule='ends') == [1] * 6 + [2] * 5 + [3]

    def test_training_takes_one_frame_of_each_run(self):
        np.random.seed(0)
        expected = [6, 11, 24, 34, 48, 60, 64, 76, 83, 95, 108, 117]
        assert frames(131, test_mode=False) == expected


class TestShortVideos:
    @pytest.mark.parametrize('total', [12, 18, 28, 29])
    def test_every_keeps_its_rule_below_30_frames(self, total):
        numbers = frames(total)
        assert numbers == sorted(set(numbers)) and numbers[0] == 1 and numbers[-1] <= total

    @pytest.mark.parametrize('options', [{}, dict(rule='middle'), dict(test_mode=False)])
    def test_too_few_frames_are_repeated_evenly(self, options):
        assert frames(1, **options) == [1] * 12
        assert frames(5, **options) == [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5]

    @pytest.mark.parametrize('options', [dict(rule='middle'), dict(test_mode=False)])
    def test_or_the_first_one_is_as_released(self, options):
        assert frames(11, short='first', **options) == [1] * 12

    def test_as_many_frames_as_wanted_are_all_taken(self):
        for options in ({}, dict(rule='middle'), dict(test_mode=False)):
            assert frames(12, **options) == list(range(1, 13))

    def test_no_frames_are_refused(self):
        with pytest.raises(ValueError, match='needs at least 1 frame'):
            frames(0)


class TestRate:
    def test_one_frame_a_second_as_clip4clip(self):
        assert frames(300, avg_fps=25, fps=1) == [k * 25 + 1 for k in range(12)]
        numbers = frames(1000, avg_fps=25, fps=1, test_mode=False)
        assert all((number - 1) % 25 == 0 for number in numbers)

    def test_rounding_asks_for_no_frame_after_the_last(self):
        """73 frames at 7.3 a second, thinned to 3: the 31st would be frame 73.00000000000001."""
        assert frames(73, clip_len=30, avg_fps=7.3, fps=3)[-1] == 71

    def test_a_video_slower_than_asked_keeps_its_frames(self):
        assert frames(60, avg_fps=24, fps=30) == frames(60)

    def test_only_the_first_seconds(self):
        assert frames(2000, avg_fps=25, seconds=30) == frames(750)
        assert frames(100, avg_fps=25, seconds=30) == frames(100)

    def test_frames_of_unknown_rate_are_refused(self):
        with pytest.raises(ValueError, match='need the frame rate'):
            frames(100, fps=1)

    def test_stored_frames_that_count_from_one(self):
        assert frames(131, start_index=1) == frames(131)


@pytest.mark.parametrize(
    'options', [dict(rule='last'), dict(cut='middle'), dict(short='zero'), dict(fps=0)]
)
def test_unknown_choices_are_refused(options):
    with pytest.raises(ValueError, match='SampleSpread: '):
        frames(100, **options)
