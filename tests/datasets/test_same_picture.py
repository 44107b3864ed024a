"""Both readers give the same picture, or decord is not taken."""

import av
import numpy as np
import pytest

from mmstadapter import open_video

QUIET = 'log-level=error'
# Where decord gives other pixels or another size, and where it gives the same.
OTHER = {
    'interlaced H.264': dict(options={'x264-params': f'{QUIET}:interlaced=1:tff=1'}),
    'bottom field first': dict(options={'x264-params': f'{QUIET}:interlaced=1:bff=1'}),
    'interlaced MPEG-4': dict(codec='mpeg4', options={'flags': '+ildct+ilme'}),
    'ten bits': dict(pix_fmt='yuv420p10le'),
    'rows cropped at the top': dict(options={'x264-params': f'{QUIET}:crop-rect=0,4,0,0'}),
    'columns cropped on the left': dict(options={'x264-params': f'{QUIET}:crop-rect=8,4,16,12'}),
}
SAME = {
    'progressive': dict(),
    'full range': dict(pix_fmt='yuvj420p'),
    'rows cropped at the bottom': dict(options={'x264-params': f'{QUIET}:crop-rect=0,0,16,12'}),
    '4:2:2': dict(pix_fmt='yuv422p'),
    '4:4:4 of odd size': dict(pix_fmt='yuv444p', size=(75, 97)),
    'BT.709': dict(options={'x264-params': f'{QUIET}:colormatrix=bt709:fullrange=on'}),
    'BT.2020': dict(options={'x264-params': f'{QUIET}:colormatrix=bt2020nc'}),
    'pixels that are not square': dict(options={'x264-params': f'{QUIET}:sar=4/3'}),
    'MPEG-4': dict(codec='mpeg4'),
}


def write(path, codec='libx264', options=None, pix_fmt='yuv420p', size=(96, 128)):
    """Six frames of coloured blocks; the first is grey, as many films begin black."""
    colours = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    height, width = size
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        stream.options = options or ({'x264-params': QUIET} if codec == 'libx264' else {})
        for number in range(6):
            image = np.roll(colours, number, 1).repeat(8, 0).repeat(8, 1)[:height, :width]
            image = np.full_like(image, 90) if not number else np.ascontiguousarray(image)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return str(path)


@pytest.mark.parametrize('kind', [*OTHER, *SAME])
def test_both_readers_give_the_same(tmp_path, kind):
    path = write(tmp_path / 'a.mp4', **{**OTHER, **SAME}[kind])
    ours, auto = (open_video(path, reader).read(range(6)) for reader in ('pyav', 'auto'))
    np.testing.assert_array_equal(ours, auto)


@pytest.mark.parametrize('kind', OTHER)
def test_decord_is_not_taken_where_its_picture_is_another(tmp_path, kind):
    path = write(tmp_path / 'a.mp4', **OTHER[kind])
    assert type(open_video(path, 'auto')).__name__ == 'PyAVReader'


@pytest.mark.parametrize('kind', SAME)
def test_decord_is_taken_where_its_picture_is_the_same(tmp_path, kind):
    path = write(tmp_path / 'a.mp4', **SAME[kind])
    assert type(open_video(path, 'auto')).__name__ == 'DecordReader'


def test_cropped_columns_are_not_shown(tmp_path):
    crop = dict(options={'x264-params': f'{QUIET}:qp=1:crop-rect=8,4,16,12'})
    whole = open_video(write(tmp_path / 'a.mp4', options={'x264-params': f'{QUIET}:qp=1'}))
    (full,), (cut,) = (
        video.read([3]) for video in (whole, open_video(write(tmp_path / 'b.mp4', **crop)))
    )
    assert cut.shape == (80, 104, 3)
    assert np.abs(full[4:84, 8:112].astype(int) - cut).max() < 12
