"""Pictures are turned and mirrored as the file's display matrix says, by both readers."""

import math
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from mmstadapter import open_video
from mmstadapter.datasets.orientation import nearest

from .conftest import CLOSED, write_video

# (a, b, c, d): where a stored pixel's right and down point to; and what players show.
EIGHT = {
    'upright': ((1, 0, 0, 1), lambda x: x),
    'right': ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    'half': ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    'left': ((0, -1, 1, 0), lambda x: np.rot90(x)),
    'mirrored': ((-1, 0, 0, 1), np.fliplr),
    'upside_down_mirrored': ((1, 0, 0, -1), np.flipud),
    'front_camera': ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
    'front_camera_back': ((0, -1, -1, 0), lambda x: np.rot90(x.transpose(1, 0, 2), 2)),
}


def with_matrix(source, target, a: float, b: float, c: float, d: float):
    """Write a display matrix into an mp4's track header."""
    ones = [round(65536 * part) for part in (a, b)], [round(65536 * part) for part in (c, d)]
    upright = struct.pack('>9i', 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    matrix = struct.pack('>9i', *ones[0], 0, *ones[1], 0, 0, 0, 1 << 30)
    content = source.read_bytes()
    at = content.index(upright, content.index(b'tkhd'))
    target.write_bytes(content[:at] + matrix + content[at + 36 :])
    return str(target)


def turned(degrees: float) -> tuple[float, float, float, float]:
    """Of a camera held so many degrees to the left."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return c, s, -s, c


@pytest.fixture
def noted(tmp_path):
    """``noted(a, b, c, d)`` gives the picture as stored, and the path of a file so noted."""
    flat = write_video(tmp_path / 'flat.mp4', 12, options=CLOSED)
    stored = open_video(str(flat)).read([5])[0]
    return lambda *matrix: (stored, with_matrix(flat, tmp_path / 'noted.mp4', *matrix))


@pytest.mark.parametrize('kind', EIGHT)
@pytest.mark.parametrize('reader', ['pyav', 'auto'])
def test_the_eight_orientations_are_exact(noted, kind, reader):
    matrix, shown = EIGHT[kind]
    stored, path = noted(*matrix)
    (frame,) = open_video(path, reader).read([5])
    np.testing.assert_array_equal(frame, shown(stored))
    assert frame.flags.c_contiguous


@pytest.mark.parametrize('reader', ['pyav', 'auto'])
@pytest.mark.parametrize(
    ('degrees', 'quarters'), [(1, 0), (-1, 0), (44, 0), (89.99, 1), (91, 1), (179, 2), (-89, 3)]
)
def test_other_angles_go_to_the_nearest(noted, reader, degrees, quarters):
    stored, path = noted(*turned(degrees))
    (frame,) = open_video(path, reader).read([5])
    np.testing.assert_array_equal(frame, np.rot90(stored, -quarters))


def test_a_mirrored_picture_that_is_slightly_turned_stays_mirrored(noted):
    c, s = math.cos(0.02), math.sin(0.02)
    stored, path = noted(-c, s, s, c)
    np.testing.assert_array_equal(open_video(path).read([5])[0], np.fliplr(stored))


def test_scale_does_not_change_the_orientation(noted):
    stored, path = noted(0, 2, -2, 0)
    np.testing.assert_array_equal(open_video(path).read([5])[0], np.rot90(stored, -1))


def test_a_matrix_of_zeros_turns_nothing(noted):
    stored, path = noted(0, 0, 0, 0)
    np.testing.assert_array_equal(open_video(path).read([5])[0], stored)


def test_an_angle_that_is_none_of_the_eight_is_logged_once(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmstadapter.datasets.orientation.print_log', lambda text, *_: said.append(text)
    )
    one = tuple(round(65536 * part) for part in turned(89))
    for _ in range(3):
        assert nearest(one, 'odd.mp4') == (0, 1, -1, 0)
    nearest((0, 65536, -65536, 0), 'good.mp4')
    assert said == [
        'odd.mp4: its display matrix (0.0175 0.9998 -0.9998 0.0175) is none of the eight ways of '
        'turning and mirroring by right angles; it is shown turned right.'
    ]


def test_decord_is_not_taken_for_any_matrix_but_the_upright_one(noted):
    for matrix in (turned(0.01), turned(89.99), (-1, 0, 0, 1)):
        assert type(open_video(noted(*matrix)[1], 'auto')).__name__ == 'PyAVReader'
    assert type(open_video(noted(*EIGHT['upright'][0])[1], 'auto')).__name__ == 'DecordReader'


def test_a_matrix_in_matroska_is_applied(tmp_path):
    path = str(tmp_path / 'a.mkv')
    with av.open(path, 'w') as container:
        stream = container.add_stream('ffv1', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'bgr0'
        stream.set_display_matrix([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30])
        image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(image, 'rgb24')
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame.reformat(format='bgr0')))
        container.mux(stream.encode())
    np.testing.assert_array_equal(open_video(path).read([0])[0], np.rot90(image, -1))
