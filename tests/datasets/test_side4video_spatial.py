"""Sizes, places and grey levels of frames are those of the released Side4Video code."""

import random

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS
from PIL import Image

from mmstadapter import PILRandomSquare, PILResize, RandomGrey, SpatialViews

from .test_spatial import frames, places


def by_pillow(image: np.ndarray, height: int, width: int, kind=Image.Resampling.BICUBIC):
    return np.asarray(Image.fromarray(image).resize((width, height), kind))


class TestResizing:
    @pytest.mark.parametrize(
        ('size', 'before', 'after'),
        [
            (256, (240, 427), (256, 455)),
            (256, (427, 240), (455, 256)),
            (256, (720, 1280), (256, 455)),
            (256, (256, 340), (256, 340)),
            ((256, 320), (240, 427), (256, 320)),
            ([256, 320], (100, 60), (256, 320)),
        ],
    )
    def test_frames_are_pillows_in_whole_grey_levels(self, size, before, after):
        images = frames(*before)
        results = PILResize(size).transform(dict(imgs=images))
        assert results['img_shape'] == after
        for image, result in zip(images, results['imgs'], strict=True):
            np.testing.assert_array_equal(result, by_pillow(image, *after))
            assert result.dtype == np.uint8

    @pytest.mark.parametrize('size', [0, (256,) * 3, (256, 0)])
    def test_other_sizes_are_refused(self, size):
        with pytest.raises(ValueError, match=r'a length or \(height, width\)'):
            PILResize(size)


class TestRandomSquare:
    def test_area_is_uniform_and_half_of_the_shapes_are_upright(self):
        """Without the exchange 57 % of shapes uniform in 3/4..4/3 would be wide."""
        random.seed(0)
        boxes = [PILRandomSquare(224).box(400, 400) for _ in range(6000)]
        sides = np.array([box[2:] for box in boxes if box])
        area, shape = sides.prod(axis=1) / 400**2, sides[:, 1] / sides[:, 0]
        assert 0.079 < area.min() < 0.1 and area.max() > 0.95
        assert 0.74 < shape.min() and shape.max() < 1.35
        assert abs((shape > 1).mean() - 0.5) < 0.02

    def test_random_numbers_come_in_the_released_order(self):
        random.seed(7)
        pixels = random.uniform(0.08, 1) * 256 * 320
        shape = random.uniform(3 / 4, 4 / 3)
        w, h = round((pixels * shape) ** 0.5), round((pixels / shape) ** 0.5)
        w, h = (h, w) if random.random() < 0.5 else (w, h)
        left, top = random.randint(0, 320 - w), random.randint(0, 256 - h)
        random.seed(7)
        assert PILRandomSquare(224).box(256, 320) == (top, left, h, w)

    def test_values_are_those_of_cutting_then_pillows_bilinear(self):
        images = frames(90, 120)
        random.seed(3)
        top, left, height, width = PILRandomSquare(32).box(90, 120)
        random.seed(3)
        results = PILRandomSquare(32).transform(dict(imgs=images))
        assert results['img_shape'] == (32, 32)
        for image, result in zip(images, results['imgs'], strict=True):
            part = np.ascontiguousarray(image[top : top + height, left : left + width])
            expected = by_pillow(part, 32, 32, Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(result, expected)

    def test_where_no_try_fits_a_square_of_the_resized_frame_is_cut(self):
        step = PILRandomSquare(8, area=(0.9, 1.0))
        image = frames(20, 200, 1)[0]
        assert step.box(20, 200) is None
        wide = by_pillow(image, 8, 80, Image.Resampling.BILINEAR)
        lefts = set()
        for _ in range(100):
            (result,) = step.transform(dict(imgs=[image]))['imgs']
            fits = [x for x in range(73) if (wide[:, x : x + 8] == result).all()]
            lefts.update(fits)
            assert len(fits) == 1
        assert len(lefts) > 30

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match='two shares'):
            PILRandomSquare(224, area=(0, 1))
        with pytest.raises(ValueError, match='low, high'):
            PILRandomSquare(224, aspect=(2, 1))


class TestGrey:
    def test_grey_levels_are_pillows_and_all_frames_are_alike(self):
        images = frames(10, 12)
        results = RandomGrey(1.0).transform(dict(imgs=images))['imgs']
        for image, grey in zip(images, results, strict=True):
            weighted = image @ np.array([0.299, 0.587, 0.114])
            assert grey.shape == image.shape and grey.dtype == np.uint8
            assert np.abs(grey - weighted[:, :, None]).max() <= 0.51

    def test_every_fifth_clip_is_grey(self):
        random.seed(0)
        image = frames(2, 2, 1)[0]
        step = RandomGrey()
        changed = [step.transform(dict(imgs=[image]))['imgs'][0] is not image for _ in range(4000)]
        assert abs(np.mean(changed) - 0.2) < 0.02

    def test_a_probability_is_asked_for(self):
        with pytest.raises(ValueError, match=r'in \[0, 1\], got 2'):
            RandomGrey(2)


class TestViews:
    """The released order: left, right, middle; the height is cut in the middle, on a grid of 2."""

    @pytest.mark.parametrize(
        ('height', 'width', 'corners'),
        [
            (256, 320, [(16, 0), (16, 96), (16, 48)]),
            (256, 341, [(16, 0), (16, 116), (16, 58)]),
            (256, 455, [(16, 0), (16, 228), (16, 114)]),
            (455, 256, [(114, 0), (114, 32), (114, 16)]),
            (224, 225, [(0, 0), (0, 0), (0, 0)]),
        ],
    )
    def test_three_squares(self, height, width, corners):
        q, down = (width - 224) // 4, 2 * ((height - 224) // 4)
        assert corners == [(down, 0), (down, 4 * q), (down, 2 * q)]
        step = SpatialViews(224, 3, rule='quarters')
        images = step.transform(dict(imgs=places(height, width)))['imgs']
        assert [tuple(image[0, 0, :2]) for image in images] == corners

    @pytest.mark.parametrize(
        ('height', 'width', 'corner'),
        [(256, 341, (16, 58)), (227, 229, (2, 2)), (224, 225, (0, 0))],
    )
    def test_one_square_is_the_centre_odd_halves_to_even(self, height, width, corner):
        assert SpatialViews(224, 1, rule='quarters').corners(height, width) == [corner]

    def test_views_leave_as_squares_outside_and_clips_inside(self):
        images = [places(8, 12)[0] + 100 * number for number in range(4)]
        results = dict(imgs=images, num_clips=2, clip_len=2)
        results = SpatialViews(8, 3, rule='quarters').transform(results)
        inputs = TRANSFORMS.build(dict(type='FormatShape', input_format='NCTHW'))(results)['imgs']
        columns = inputs[:, 1, :, 0, 0]
        expected = [left + 200 * clip + np.array([0, 100]) for left in (0, 4, 2) for clip in (0, 1)]
        np.testing.assert_array_equal(columns, expected)

    def test_other_rules_are_refused(self):
        with pytest.raises(ValueError, match="'ends' or 'quarters', got 'thirds'"):
            SpatialViews(224, 3, rule='thirds')


def test_steps_leave_frames_that_mirroring_in_place_can_change():
    images = frames(60, 80)
    before = [image.copy() for image in images]
    flip = TRANSFORMS.build(dict(type='Flip', flip_ratio=1.0))
    for steps in ([PILResize(40)], [PILResize((40, 40)), PILRandomSquare(32), RandomGrey(1.0)]):
        results = dict(imgs=images, modality='RGB')
        for step in steps:
            results = step.transform(results)
        once = [image.copy() for image in results['imgs']]
        for old, new in zip(once, flip(results)['imgs'], strict=True):
            np.testing.assert_array_equal(new, old[:, ::-1])
    for old, new in zip(before, images, strict=True):
        np.testing.assert_array_equal(new, old)
