"""Frames of the released AIM, ZeroI2V, EVL and DiST code, and AIM's noise of colours."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

REFERENCE = json.loads((Path(__file__).parents[1] / 'reference/comparators.json').read_text())
AIM, ZERO = REFERENCE['aim_frames'], REFERENCE['zeroi2v_uniform_frames']
EVL, DIST = REFERENCE['evl_frames'], REFERENCE['dist_frames']


def drawn(step: dict, total: int, seed: int) -> list[int]:
    """The indices that a step gives right after both generators were seeded."""
    random.seed(seed)
    np.random.seed(seed)
    given = dict(total_frames=total, start_index=0)
    return TRANSFORMS.build(step).transform(given)['frame_inds'].tolist()


def test_the_reference_has_short_and_long_videos_of_every_kind():
    kinds = {
        (c['frame_uniform'], c['clip_len'], c['num_video_frames'] < c['clip_len']) for c in AIM
    }
    assert len(AIM) == 36 and len(kinds) == 8 and len(ZERO) == 27


@pytest.mark.parametrize('case', AIM, ids=lambda c: '-'.join(map(str, list(c.values())[:4])))
def test_aims_frames(case):
    total, seed = case['num_video_frames'], case['seed_numpy_and_random']
    if case['frame_uniform']:  # the released code draws by Python's generator, SampleSegments not
        train = dict(type='mmstadapter.SampleSide4Video', rule='kinetics')
        test = dict(type='mmstadapter.SampleSegments', test_mode=True)
    else:
        train = dict(type='SampleFrames', frame_interval=case['frame_interval'], num_clips=1)
        test = train | dict(
            type='mmstadapter.SampleMiddles', num_clips=case['test_clips'], test_mode=True
        )
    for step, mode in ((train, 'train'), (test, 'test')):
        assert drawn(step | dict(clip_len=case['clip_len']), total, seed) == case[mode]


@pytest.mark.parametrize('case', ZERO, ids=lambda c: '-'.join(map(str, list(c.values())[:3])))
def test_zeroi2vs_frames(case):
    step = dict(type='UniformSample', clip_len=case['clip_len'], num_clips=case['num_clips'])
    for mode in ('train', 'test'):
        frames = drawn(step | dict(test_mode=mode == 'test'), case['num_video_frames'], 508)
        assert frames == case[mode]


def views(step: dict, total: int, seed: int) -> list[list[int]]:
    """The same, a list a view."""
    frames, length = drawn(step, total, seed), step['clip_len']
    return [frames[i : i + length] for i in range(0, len(frames), length)]


@pytest.mark.parametrize('case', EVL, ids=lambda c: '-'.join(map(str, list(c.values())[:3])))
def test_evls_frames(case):
    """Spread evenly, its testing has no rule and raises; ours takes the middles."""
    total, seed, spread = case['num_video_frames'], case['seed_numpy'], case['sampling_rate'] < 0
    step = dict(type='mmstadapter.SampleSegments', clip_len=case['T'])
    if not spread:
        step |= dict(type='mmstadapter.SampleStride', frame_interval=case['sampling_rate'])
    assert views(step, total, seed) == [case['train']]
    test = step | dict(test_mode=True) | ({} if spread else dict(num_views=case['views']))
    if spread:
        assert case['test'].startswith('error: ValueError') and len(views(test, total, seed)) == 1
    else:
        assert views(test, total, seed) == case['test']


@pytest.mark.parametrize('case', DIST, ids=lambda c: '-'.join(map(str, list(c.values())[:3])))
def test_dists_frames(case):
    step = dict(type='mmstadapter.SampleEvenly', clip_len=case['num_input_frames'])
    total, seed = case['num_video_frames'], case['seed_random']
    assert views(step, total, seed) == [case['train']]
    test = step | dict(num_views=case['views'], test_mode=True)
    assert views(test, total, seed) == case['test']


def test_several_views_in_training_are_refused():
    with pytest.raises(ValueError, match='SampleEvenly: num_views must be 1, and in testing'):
        TRANSFORMS.build(dict(type='mmstadapter.SampleEvenly', clip_len=4, num_views=3))


class TestPCANoise:
    def noisy(self, images: list, std: float = 0.1, seed: int = 0) -> list:
        np.random.seed(seed)
        step = TRANSFORMS.build(dict(type='mmstadapter.PCANoise', std=std))
        return step.transform(dict(imgs=images))['imgs']

    def test_it_shifts_a_whole_clip_by_one_colour(self):
        images = [np.full((4, 5, 3), 100, np.uint8), np.full((4, 5, 3), 120, np.uint8)]
        first, second = self.noisy(images, std=1.0)
        assert first.dtype == np.uint8 and (second - first == 20).all()
        assert len(np.unique(first.reshape(-1, 3), axis=0)) == 1 and not (first == 100).all()

    def test_brightness_varies_most(self):
        clips = [self.noisy([np.full((1, 1, 3), 100, np.uint8)], seed=seed) for seed in range(300)]
        shifts = np.array([clip[0][0, 0] for clip in clips], float) - 100
        largest = np.linalg.eigh(np.cov(shifts.T))
        assert largest.eigenvalues[-1] ** 0.5 == pytest.approx(5.5, rel=0.15)
        assert np.abs(largest.eigenvectors[:, -1]) == pytest.approx([0.57, 0.58, 0.58], abs=0.05)

    def test_levels_stay_levels(self):
        images = self.noisy([np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)], 5.0)
        assert {int(i.min()) for i in images} | {int(i.max()) for i in images} <= set(range(256))
        black = [self.noisy([np.zeros((1, 1, 3), np.uint8)], 5.0, s)[0].max() for s in range(20)]
        assert 0 in black  # a negative shift does not wrap around

    def test_a_negative_deviation_is_refused(self):
        with pytest.raises(ValueError, match='PCANoise: std'):
            TRANSFORMS.build(dict(type='mmstadapter.PCANoise', std=-1))
