"""Folders of images are read like videos, and damage is said as for videos."""

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS
from PIL import Image

from mmstadapter import VideoDecode, VideoInit, VideoReadError
from mmstadapter.datasets.frame_folder import FrameFolder

from .conftest import number_of, write_frames


class TestReading:
    @pytest.mark.parametrize(
        ('template', 'first'), [('{:05}.jpg', 1), ('img_{:06d}.png', 0), ('{}.jpeg', 7)]
    )
    def test_frames_come_by_index(self, tmp_path, template, first):
        write_frames(tmp_path, 12, template=template, first=first)
        (tmp_path / 'Thumbs.db').write_text('no image')
        folder = FrameFolder(str(tmp_path), template, first)
        assert len(folder) == 12 and folder.fps == 0
        images = folder.read([0, 11, 5, 5])
        assert [number_of(image) for image in images] == [0, 11, 5, 5]
        assert images[0].shape == (48, 64, 3) and images[0].dtype == np.uint8

    def test_values_are_pillows(self, tmp_path):
        write_frames(tmp_path, 1)
        with Image.open(tmp_path / '00001.jpg') as picture:
            expected = np.asarray(picture.convert('RGB'))
        np.testing.assert_array_equal(
            FrameFolder(str(tmp_path), '{:05}.jpg').read([0])[0], expected
        )

    def test_grey_images_get_three_channels(self, tmp_path):
        Image.new('L', (20, 10), 99).save(tmp_path / '1.png')
        (image,) = FrameFolder(str(tmp_path), '{}.png').read([0])
        assert image.shape == (10, 20, 3) and (image == 99).all()

    def test_repeated_frames_are_arrays_of_their_own(self, tmp_path):
        one, two = FrameFolder(str(write_frames(tmp_path)), '{:05}.jpg').read([3, 3])
        one[:] = 0
        assert two.any()

    def test_a_given_length_spares_counting(self, tmp_path):
        write_frames(tmp_path, 12)
        folder = FrameFolder(str(tmp_path), '{:05}.jpg', first=5, length=3)
        assert len(folder) == 3
        assert [number_of(image) for image in folder.read([0, 2])] == [4, 6]


class TestDamage:
    def refuses(self, path, words, indices=(0,), **options):
        with pytest.raises(VideoReadError, match=words) as caught:
            FrameFolder(str(path), '{:05}.jpg', **options).read(indices)
        assert caught.value.path == str(path)

    def test_no_folder(self, tmp_path):
        self.refuses(tmp_path / 'nowhere', 'no such folder')
        (tmp_path / 'file').write_text('')
        self.refuses(tmp_path / 'file', 'is no folder')

    def test_no_frames(self, tmp_path):
        self.refuses(tmp_path, 'holds no file like 00001.jpg$')
        self.refuses(tmp_path, 'has no frames', length=0)

    def test_other_names_are_shown(self, tmp_path):
        write_frames(tmp_path, 3, template='img_{:05}.jpg')
        self.refuses(tmp_path, r'no file like 00001.jpg \(but img_00001.jpg\)')
        write_frames(tmp_path / 'six', 3, template='{:06}.jpg')
        self.refuses(tmp_path / 'six', r'no file like 00001.jpg \(but 000001.jpg\)')

    @pytest.mark.parametrize('first', [0, 2])
    def test_another_first_number_is_said(self, tmp_path, first):
        write_frames(tmp_path, 3, first=first)
        words = f'begins with 0000{first}.jpg, not 00001.jpg; set start_index={first} if all'
        self.refuses(tmp_path, words)

    def test_a_gap(self, tmp_path):
        write_frames(tmp_path, 9)
        (tmp_path / '00004.jpg').unlink()
        self.refuses(tmp_path, 'lacks 00004.jpg')
        self.refuses(tmp_path, 'lacks 00004.jpg', indices=(3,), length=9)

    def test_an_image_that_is_none(self, tmp_path):
        write_frames(tmp_path, 3)
        (tmp_path / '00002.jpg').write_bytes(b'')
        self.refuses(tmp_path, '00002.jpg cannot be decoded: cannot identify image file$', (1,))

    def test_a_truncated_image(self, tmp_path):
        write_frames(tmp_path, 3, size=(240, 320))
        content = (tmp_path / '00002.jpg').read_bytes()
        (tmp_path / '00002.jpg').write_bytes(content[: len(content) // 2])
        self.refuses(tmp_path, '00002.jpg cannot be decoded: image file is truncated', (1,))

    def test_an_image_that_would_fill_the_memory(self, tmp_path, monkeypatch):
        write_frames(tmp_path, 3)
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 48 * 64 // 3)
        self.refuses(tmp_path, '00002.jpg cannot be decoded: Image size', (1,))

    def test_grey_levels_that_would_turn_white(self, tmp_path):
        write_frames(tmp_path, 3)
        Image.fromarray(np.full((48, 64), 3000, np.uint16)).save(tmp_path / '00002.jpg', 'PNG')
        self.refuses(tmp_path, '00002.jpg cannot be decoded: grey levels of more than 8', (1,))

    def test_frames_of_different_sizes(self, tmp_path):
        write_frames(tmp_path, 3)
        Image.new('RGB', (20, 10)).save(tmp_path / '00002.jpg')
        self.refuses(tmp_path, r'different sizes: \[\(10, 20\), \(48, 64\)\]', (0, 1))

    @pytest.mark.parametrize('index', [-1, 12])
    def test_a_frame_that_is_not_there(self, tmp_path, index):
        write_frames(tmp_path, 12)
        self.refuses(tmp_path, f'has frames 0 to 11, asked for {index}', (index,))


class TestPipelineSteps:
    def test_the_steps_of_videos_read_folders(self, tmp_path):
        write_frames(tmp_path, 12)
        results = dict(filename=str(tmp_path), filename_tmpl='{:05}.jpg', start_index=1)
        results = VideoInit().transform(results)
        assert results['total_frames'] == 12
        results['frame_inds'] = np.array([1, 12])
        results = VideoDecode().transform(results)
        assert [number_of(image) for image in results['imgs']] == [0, 11]
        assert results['img_shape'] == results['original_shape'] == (48, 64)
        assert results['video_reader'] is None

    def test_the_step_can_name_the_files(self, tmp_path):
        write_frames(tmp_path, 5, first=0)
        step = TRANSFORMS.build(dict(type='mmstadapter.VideoInit', filename_tmpl='{:05}.jpg'))
        assert step(dict(filename=str(tmp_path)))['total_frames'] == 5

    @pytest.mark.parametrize('template', ['00001.jpg', '{}_{}.jpg', '{name}.jpg', '{:5s}.jpg', ''])
    def test_templates_are_checked(self, template):
        with pytest.raises(ValueError, match='one field for its number'):
            VideoInit(filename_tmpl=template)
