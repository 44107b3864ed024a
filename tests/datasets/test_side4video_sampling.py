"""Frame indices of the released Side4Video code, random ones included."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mmstadapter import SampleSide4Video

FILE = Path(__file__).parents[1] / 'reference' / 'side4video_clips.json'
CASES = json.loads(FILE.read_text())['frames']


def name(case: dict) -> str:
    dense = '-dense' if case['dense'] else ''
    return f'{case["data"]}{dense}-{case["T"]}-of-{case["total"]}'


def indices(case: dict, num_views: int = 1, test_mode: bool = False) -> list[int]:
    """Of a case, counted from 1, after its seed."""
    np.random.seed(case['seed'])
    random.seed(case['seed'])
    rule = 'dense' if case['dense'] else case['data']
    step = SampleSide4Video(case['T'], rule, num_views, test_mode)
    results = step.transform(dict(total_frames=case['total'], start_index=1))
    assert len(results['frame_inds']) == num_views * results['clip_len']
    return results['frame_inds'].tolist()


def test_the_reference_covers_all_rules_and_short_videos():
    kinds = {(c['data'], c['dense'], c['T'], c['total'] < c['T']) for c in CASES}
    assert len(CASES) == 72 and len(kinds) == 16


@pytest.mark.parametrize('case', CASES, ids=name)
class TestReleasedRules:
    def test_training(self, case):
        assert indices(case) == case['train']

    def test_validation(self, case):
        assert indices(case, test_mode=not case['dense']) == case['val']

    @pytest.mark.parametrize('views', [1, 2, 4])
    def test_testing(self, case, views):
        released = case[f'test_{views}']
        if released is None:  # the released code divides by zero
            with pytest.raises(ValueError, match='num_views of 2 or more, got 1'):
                indices(case, views, test_mode=True)
        else:
            assert indices(case, views, test_mode=True) == released


class TestAnyVideo:
    @pytest.mark.parametrize('rule', ['kinetics', 'something', 'dense'])
    @pytest.mark.parametrize('total', [1, 2, 7, 8, 9, 127, 128, 129, 130, 1000])
    def test_indices_stay_inside(self, rule, total):
        for test_mode, views in ((False, 1), (True, 3)):
            for length in (1, 8, 16):
                step = SampleSide4Video(length, rule, views, test_mode)
                found = step.transform(dict(total_frames=total))['frame_inds']
                assert found.min() >= 0 and found.max() < total and len(found) == views * length

    def test_every_frame_of_a_run_comes_up(self):
        step = SampleSide4Video(2, 'something')
        seen = {tuple(step.train_clips(6)[0]) for _ in range(300)}
        assert seen == {(a, b) for a in range(3) for b in range(3, 6)}

    def test_a_dense_clip_is_a_window_with_its_interval_on_record(self):
        results = SampleSide4Video(16, 'dense').transform(dict(total_frames=500))
        assert results['frame_interval'] == 8
        assert (np.diff(results['frame_inds']) == 8).all()


class TestErrors:
    @pytest.mark.parametrize(
        ('options', 'words'),
        [
            (dict(rule='even'), "one of .*'kinetics', 'something', 'dense'.*, got 'even'"),
            (dict(rule='kinetics', num_views=2), 'Set test_mode=True for several views'),
            (dict(rule='kinetics', num_views=0, test_mode=True), 'at least 1'),
            (dict(rule='dense', test_mode=True), 'num_views of 2 or more'),
            (dict(rule='dense', clip_len=129), 'at most 128 frames, got 129'),
        ],
    )
    def test_options_are_checked(self, options, words):
        with pytest.raises(ValueError, match=words):
            SampleSide4Video(**(dict(clip_len=8) | options))

    def test_a_video_without_frames_is_named(self):
        step = SampleSide4Video(8, 'kinetics')
        with pytest.raises(ValueError, match='a.mp4 has 0'):
            step.transform(dict(total_frames=0, filename='a.mp4'))
