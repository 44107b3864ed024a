"""Sizes, places and values of resized and cropped frames are those of the released code."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import TRANSFORMS

from mmstadapter import RandomResizedSquare, RandomSquare, ResizeShortSide, SpatialViews

REFERENCE = json.loads((Path(__file__).parents[1] / 'reference' / 'clips.json').read_text())
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def frames(height: int, width: int, count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def places(height: int, width: int) -> list[np.ndarray]:
    """One frame whose pixels hold their own (row, column)."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing='ij')
    return [np.stack([rows, columns, rows], axis=2).astype(np.float32)]


def released_resize(
    images: list[np.ndarray], height: int, width: int, mode: str = 'bicubic'
) -> torch.Tensor:
    """(T, 3, height, width): normalise, then interpolate, as the released code does."""
    x = torch.from_numpy(np.stack(images)).double() / 255  # in double: without rounding
    x = ((x - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)
    return F.interpolate(x, size=(height, width), mode=mode, align_corners=False)


def normalised(images: list[np.ndarray]) -> torch.Tensor:
    """(T, 3, H, W): what the data preprocessor makes of frames 0..255."""
    x = torch.from_numpy(np.stack(images)).double()
    return ((x - torch.tensor(MEAN) * 255) / (torch.tensor(STD) * 255)).permute(0, 3, 1, 2)


class TestResizing:
    def test_bilinear_values_are_those_of_normalising_first(self):
        images = frames(37, 53)
        results = ResizeShortSide(24, interpolation='bilinear').transform(dict(imgs=images))
        expected = released_resize(images, 24, 34, 'bilinear')
        torch.testing.assert_close(normalised(results['imgs']), expected, rtol=0, atol=5e-6)
        step = RandomResizedSquare(16, area=(1, 1), aspect=(1, 1), interpolation='bilinear')
        square = step.transform(dict(imgs=frames(32, 32)))['imgs']
        expected = released_resize(frames(32, 32), 16, 16, 'bilinear')
        torch.testing.assert_close(normalised(square), expected, rtol=0, atol=5e-6)

    @pytest.mark.parametrize('step', [ResizeShortSide, RandomResizedSquare])
    def test_whole_grey_levels_are_the_exact_ones_rounded(self, step):
        results = []
        for pixels in ('float32', 'uint8'):
            random.seed(0)
            results.append(step(16, pixels=pixels).transform(dict(imgs=frames(37, 53)))['imgs'])
        exact, whole = map(np.stack, results)
        assert whole.dtype == np.uint8 and exact.min() < 0  # bicubic weights leave 0..255
        assert np.abs(exact.clip(0, 255) - whole).max() <= 0.5

    @pytest.mark.parametrize('step', [ResizeShortSide, RandomResizedSquare])
    def test_an_unknown_type_of_pixels_is_named(self, step):
        with pytest.raises(ValueError, match="pixels must be one of float32, uint8, got 'half'"):
            step(16, pixels='half')

    @pytest.mark.parametrize('step', [ResizeShortSide, RandomResizedSquare])
    def test_an_unknown_interpolation_is_named(self, step):
        with pytest.raises(ValueError, match="interpolation must be one of .*, got 'nearest'"):
            step(16, interpolation='nearest')

    @pytest.mark.parametrize(
        ('before', 'after'),
        [
            ((256, 340), (224, 297)),
            ((340, 256), (297, 224)),
            ((240, 427), (224, 398)),
            ((720, 1280), (224, 398)),
            ((37, 53), (224, 320)),
            ((224, 224), (224, 224)),
        ],
    )
    def test_values_are_those_of_normalising_first(self, before, after):
        images = frames(*before)
        results = ResizeShortSide(224).transform(dict(imgs=images))
        assert results['img_shape'] == after and results['imgs'][0].dtype == np.float32
        expected = released_resize(images, *after)
        torch.testing.assert_close(normalised(results['imgs']), expected, rtol=0, atol=5e-6)

    def test_nothing_is_clipped(self):
        edge = np.zeros((30, 40, 3), np.uint8)
        edge[:, 20:] = 255
        (image,) = ResizeShortSide(60).transform(dict(imgs=[edge]))['imgs']
        assert image.min() < -1 and image.max() > 256

    def test_jitter_takes_all_lengths_including_both_ends(self):
        step = ResizeShortSide((224, 226))
        seen = {step.transform(dict(imgs=frames(8, 10, 1)))['img_shape'] for _ in range(100)}
        assert seen == {(224, 280), (225, 281), (226, 282)}

    def test_jitter_takes_the_released_random_numbers(self):
        np.random.seed(5)
        length = round(np.random.uniform(224, 258))
        np.random.seed(5)
        assert (
            ResizeShortSide((224, 258)).transform(dict(imgs=frames(8, 10)))['img_shape'][0]
            == length
        )

    def test_all_frames_are_treated_alike(self):
        image = frames(60, 80, 1)[0]
        for step in (ResizeShortSide((30, 50)), RandomSquare(40), RandomResizedSquare(32)):
            one, two = step.transform(dict(imgs=[image.copy(), image.copy()]))['imgs']
            np.testing.assert_array_equal(one, two)


class TestSpatialViews:
    @pytest.mark.parametrize('case', REFERENCE['crops'], ids=str)
    def test_squares_lie_where_the_released_code_has_them(self, case):
        results = SpatialViews(224, case['views']).transform(
            dict(imgs=places(case['H'], case['W']))
        )
        assert [list(image[0, 0, :2]) for image in results['imgs']] == case['top_left']
        assert {image.shape for image in results['imgs']} == {(224, 224, 3)}

    def test_three_squares_need_the_short_side(self):
        with pytest.raises(ValueError, match='short side is 32, got 40x60'):
            SpatialViews(32, 3).transform(dict(imgs=frames(40, 60)))

    def test_other_numbers_are_refused(self):
        with pytest.raises(ValueError, match='num_crops must be 1 or 3, got 5'):
            SpatialViews(224, 5)

    def test_views_leave_as_squares_outside_and_clips_inside(self):
        """(views, 3, T, H, W), the view s·V + v showing square s of clip v."""
        clips, length = 2, 3
        images = [places(8, 12)[0] + 100 * number for number in range(clips * length)]
        results = dict(imgs=images, num_clips=clips, clip_len=length)
        results = SpatialViews(8, 3).transform(results)
        inputs = TRANSFORMS.build(dict(type='FormatShape', input_format='NCTHW'))(results)['imgs']
        assert inputs.shape == (6, 3, 3, 8, 8)
        shown = inputs[:, 1, :, 0, 0]  # the column of the corner, plus 100 for each frame
        columns = [left + 100 * np.arange(3) + 300 * clip for left in (0, 2, 4) for clip in (0, 1)]
        np.testing.assert_array_equal(shown, columns)


class TestRandomSquare:
    def test_the_last_offset_never_comes_up(self):
        step, seen = RandomSquare(8), set()
        for _ in range(300):
            (image,) = step.transform(dict(imgs=places(10, 11)))['imgs']
            seen.add(tuple(image[0, 0, :2].astype(int)))
        assert seen == {(top, left) for top in range(2) for left in range(3)}

    def test_a_fitting_frame_is_taken_whole(self):
        assert RandomSquare(8).transform(dict(imgs=places(8, 8)))['imgs'][0].shape == (8, 8, 3)

    def test_a_smaller_frame_is_refused(self):
        with pytest.raises(ValueError, match='a square of 9 does not fit frames of 8x20'):
            RandomSquare(9).transform(dict(imgs=places(8, 20)))


class TestRandomResizedSquare:
    def test_area_and_shape_are_uniform_and_log_uniform(self):
        random.seed(0)
        boxes = np.array([RandomResizedSquare(224).box(400, 400)[2:] for _ in range(4000)])
        area, shape = boxes.prod(axis=1) / 400**2, np.log(boxes[:, 1] / boxes[:, 0])
        assert 0.079 < area.min() < 0.1 and area.max() > 0.95
        assert abs(shape.mean()) < 0.01 and np.abs(shape).max() < np.log(4 / 3) + 0.01
        assert abs(np.median(shape[shape > 0]) - np.log(4 / 3) / 2) < 0.02

    def test_offsets_reach_both_ends(self):
        random.seed(0)
        step = RandomResizedSquare(4, area=(0.25, 0.25), aspect=(1, 1))
        corners = {step.box(8, 8)[:2] for _ in range(500)}
        assert corners == {(top, left) for top in range(5) for left in range(5)}

    @pytest.mark.parametrize(
        ('height', 'width', 'box'),
        [(20, 200, (0, 86, 20, 27)), (200, 20, (86, 0, 27, 20))],
    )
    def test_the_centre_is_taken_when_nothing_fits(self, height, width, box):
        assert RandomResizedSquare(8, area=(0.9, 1.0)).box(height, width) == box

    def test_values_are_those_of_cropping_then_interpolating(self):
        images = frames(120, 160)
        random.seed(3)
        top, left, height, width = RandomResizedSquare(64).box(120, 160)
        random.seed(3)
        results = RandomResizedSquare(64).transform(dict(imgs=images))
        part = [image[top : top + height, left : left + width] for image in images]
        expected = released_resize(part, 64, 64)
        torch.testing.assert_close(normalised(results['imgs']), expected, rtol=0, atol=5e-6)


def test_mirroring_by_the_host_is_exact_on_cropped_float_frames():
    images = RandomSquare(40).transform(dict(imgs=[f.astype(np.float32) for f in frames(60, 80)]))
    before = [image.copy() for image in images['imgs']]
    flip = TRANSFORMS.build(dict(type='Flip', flip_ratio=1.0))
    after = flip(dict(images, modality='RGB', img_shape=(40, 40)))['imgs']
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old[:, ::-1])
