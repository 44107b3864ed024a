"""Frame indices of the released code, training samples with its random numbers included."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmstadapter import SampleSegments, SampleStride

REFERENCE = json.loads((Path(__file__).parents[1] / 'reference' / 'clips.json').read_text())
CASES = REFERENCE['frames']


def sampler(case: dict, test_mode: bool):
    if not case['sampling_rate']:
        return SampleSegments(case['T'], test_mode=test_mode)
    views = case['views'] if test_mode else 1
    return SampleStride(case['T'], case['sampling_rate'], views, test_mode)


def test_the_reference_covers_both_rules_and_short_videos():
    kinds = {(case['sampling_rate'] > 0, case['num_video_frames'] < case['T']) for case in CASES}
    assert len(CASES) == 50 and len(kinds) == 4


@pytest.mark.parametrize(
    'case', CASES, ids=lambda case: '-'.join(map(str, list(case.values())[:4]))
)
class TestReleasedRules:
    def test_testing_takes_the_released_frames(self, case):
        results = sampler(case, True).transform(dict(total_frames=case['num_video_frames']))
        clips = results['frame_inds'].reshape(results['num_clips'], results['clip_len'])
        assert clips.tolist() == case['test']

    def test_training_takes_the_released_frames_for_the_same_random_numbers(self, case):
        np.random.seed(case['train_after_np_random_seed'])
        results = sampler(case, False).transform(dict(total_frames=case['num_video_frames']))
        assert results['frame_inds'].tolist() == case['train']


class TestResults:
    def test_keys_are_those_of_sample_frames(self):
        results = SampleStride(8, 16, 3, True).transform(dict(total_frames=300))
        assert (results['clip_len'], results['frame_interval'], results['num_clips']) == (8, 16, 3)
        assert results['frame_inds'].shape == (24,) and results['frame_inds'].dtype == np.int32

    def test_start_index_is_added(self):
        results = SampleSegments(4, test_mode=True).transform(dict(total_frames=9, start_index=1))
        assert results['frame_inds'].tolist() == [2, 4, 6, 8]

    @pytest.mark.parametrize('total', [1, 2, 7, 8, 112, 113, 114])
    @pytest.mark.parametrize('test_mode', [False, True])
    def test_indices_stay_inside_short_videos(self, total, test_mode):
        for step in (SampleSegments(8, test_mode), SampleStride(8, 16, 1, test_mode)):
            indices = step.transform(dict(total_frames=total))['frame_inds']
            assert indices.min() >= 0 and indices.max() < total and len(indices) == 8

    def test_every_start_that_fits_comes_up(self):
        step = SampleStride(4, 2)
        firsts = {step.transform(dict(total_frames=10))['frame_inds'][0] for _ in range(200)}
        assert firsts == {0, 1, 2, 3}


class TestErrors:
    @pytest.mark.parametrize('step', [SampleSegments(8), SampleStride(8, 16)])
    def test_a_video_without_frames_is_named(self, step):
        with pytest.raises(ValueError, match='needs at least 1 frame, a.mp4 has 0'):
            step.transform(dict(total_frames=0, filename='a.mp4'))

    def test_several_random_views_are_refused(self):
        with pytest.raises(ValueError, match='Set test_mode=True'):
            SampleStride(8, 16, num_views=3)
