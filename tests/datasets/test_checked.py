"""Videos that changed since `mmstadapter check` are refused by whatever reads them."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from mmaction.registry import DATASETS
from mmengine.dataset import Compose

from mmstadapter.apis.checking import check_videos
from mmstadapter.datasets.checked import BLOCK, NAME, read_table
from mmstadapter.datasets.packets import VideoReadError

from .conftest import write_frames, write_video
from .test_video_dataset import STEPS


def read(path, **info) -> np.ndarray:
    """Two frames of a video by the usual steps."""
    sample = dict(filename=str(path), label=-1, start_index=0, modality='RGB')
    return Compose(STEPS)(sample | info)['inputs']


def change(path, at: int, keep_time: bool = True) -> None:
    """Another byte in a file; of its stamp nothing tells."""
    content, state = bytearray(path.read_bytes()), path.stat()
    content[at] ^= 1
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.fixture
def folder(tmp_path):
    """Videos a.mp4 and below/b.mkv, checked; and a title in the first that no decoder reads."""
    (tmp_path / 'below').mkdir()
    write_video(tmp_path / 'a.mp4', frames=30, size=(32, 32))
    with open(tmp_path / 'a.mp4', 'ab') as file:
        file.write((8 + 100).to_bytes(4, 'big') + b'free' + bytes(100))
    write_video(tmp_path / 'below' / 'b.mkv', frames=6, size=(32, 32))
    check_videos(tmp_path)
    return tmp_path


@pytest.mark.processes
class TestTable:
    def test_holds_what_was_found(self, folder):
        entry = read_table(folder / NAME)['a.mp4']
        printed = subprocess.check_output(['sha256sum', folder / 'a.mp4'], text=True)
        assert entry.sha256 == printed.split()[0]
        assert (entry.frames, entry.seconds, entry.wrong) == (30, 1.2, '')
        assert entry.size == (folder / 'a.mp4').stat().st_size

    def test_keeps_any_name(self, tmp_path):
        names = [b'new\nline.mp4', b'caf\xe9.mp4', ' \u3000space '.encode() + b'.mp4', b'"\\.mp4']
        write_video(tmp_path / 'x.mp4', frames=3, size=(32, 32))
        for name in names:
            shutil.copy(tmp_path / 'x.mp4', os.path.join(os.fsencode(tmp_path), name))
        assert check_videos(tmp_path).good == 5
        assert set(map(os.fsencode, read_table(tmp_path / NAME))) == {*names, b'x.mp4'}
        for name in names:
            path = tmp_path / os.fsdecode(name)
            change(path, 50)
            with pytest.raises(VideoReadError):
                read(path)

    def test_a_damaged_one_is_an_error(self, folder):
        (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-20])
        with pytest.raises(ValueError, match='checked.jsonl: line 2 is none that'):
            read(folder / 'a.mp4')


@pytest.mark.processes
class TestReading:
    def test_unchanged_files_are_read(self, folder):
        assert read(folder / 'a.mp4').shape == read(folder / 'below' / 'b.mkv').shape

    def test_a_changed_byte_that_no_decoder_notices_is_found(self, folder):
        change(folder / 'a.mp4', -1)
        with pytest.raises(VideoReadError, match='changed since it was checked on .* byte 0'):
            read(folder / 'a.mp4')

    def test_another_length_is_found(self, folder):
        with open(folder / 'a.mp4', 'ab') as file:
            file.write((8).to_bytes(4, 'big') + b'free')
        with pytest.raises(VideoReadError, match='bytes then, .* now'):
            read(folder / 'a.mp4')

    def test_a_copy_with_another_time_is_the_same_video(self, folder):
        os.utime(folder / 'a.mp4')
        read(folder / 'a.mp4')

    def test_a_file_that_was_added_is_read(self, folder):
        shutil.copy(folder / 'a.mp4', folder / 'c.mp4')
        read(folder / 'c.mp4')

    def test_a_folder_that_was_moved_keeps_its_table(self, folder, tmp_path):
        moved = tmp_path / 'moved'
        moved.mkdir()
        for name in ('a.mp4', 'below', NAME):
            os.rename(folder / name, moved / name)
        change(moved / 'below' / 'b.mkv', 200)
        with pytest.raises(VideoReadError, match='changed'):
            read(moved / 'below' / 'b.mkv')

    def test_large_files_are_sampled_and_found_in_time(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', frames=3, size=(32, 32))
        size = 200 * BLOCK
        with open(path, 'ab') as file:
            file.write(size.to_bytes(4, 'big') + b'free' + bytes(size - 8))
        check_videos(tmp_path)
        change(path, 30 * BLOCK)

        def is_found() -> bool:
            try:
                read(path)
            except VideoReadError:
                return True
            return False

        found = sum(is_found() for _ in range(60))  # each with a chance of about a third
        assert 5 < found < 45

    def test_a_large_file_with_another_time_is_compared_whole(self, tmp_path):
        path = write_video(tmp_path / 'a.mp4', frames=3, size=(32, 32))
        size = 200 * BLOCK
        with open(path, 'ab') as file:
            file.write(size.to_bytes(4, 'big') + b'free' + bytes(size - 8))
        check_videos(tmp_path)
        change(path, 30 * BLOCK, keep_time=False)
        with pytest.raises(VideoReadError, match='changed'):
            read(path)

    def test_what_could_not_be_decoded_is_refused_until_it_changes(self, folder):
        whole = (folder / 'a.mp4').read_bytes()
        (folder / 'd.mp4').write_bytes(whole[:900])
        assert list(check_videos(folder).wrong) == ['d.mp4']
        (folder / 'd.mp4').write_bytes(whole)
        read(folder / 'd.mp4')

    def test_the_numbers_that_repeat_a_training_are_not_drawn(self, folder):
        import random

        before = random.getstate(), np.random.get_state()[1].tolist()
        read(folder / 'a.mp4')
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.processes
class TestLists:
    def make(self, folder, **options):
        config = dict(
            type='mmstadapter.VideoDataset',
            ann_file=str(folder / 'lists' / 'train.txt'),
            data_prefix=dict(video=str(folder / 'videos')),
            pipeline=STEPS,
        )
        return DATASETS.build(config | options)

    @pytest.fixture
    def folder(self, tmp_path):
        for name in ('lists', 'videos'):
            (tmp_path / name).mkdir()
        for name in 'abcd':
            write_video(tmp_path / 'videos' / f'{name}.mp4', frames=4, size=(32, 32))
        lines = 'a.mp4 0\nb.mp4 1\nc 2\n'
        (tmp_path / 'lists' / 'train.txt').write_text(lines)
        return tmp_path

    def test_the_table_lies_beside_the_list_and_its_data_set_finds_it(self, folder):
        report = check_videos(folder / 'lists' / 'train.txt', folder / 'videos')
        assert report.table == str(folder / 'lists' / 'train.txt.checked.jsonl')
        assert (report.good, report.decoded) == (3, 3)
        change(folder / 'videos' / 'c.mp4', 60)
        data = self.make(folder, test_mode=True)
        assert 'bad_videos' not in data[0]['data_samples']
        ((path, reason),) = data[2]['data_samples'].bad_videos
        assert path == str(folder / 'videos' / 'c.mp4') and 'changed since' in reason

    def test_captions_and_lists_of_frames_are_lists_too(self, folder):
        write_frames(folder / 'videos' / 'frames', 3)
        (folder / 'lists' / 'frames.txt').write_text('frames 3 0\n')
        (folder / 'lists' / 'captions.json').write_text(json.dumps({'a.mp4': ['a cat']}))
        for name in ('frames.txt', 'captions.json'):
            assert check_videos(folder / 'lists' / name, folder / 'videos').good == 1

    def test_a_video_that_is_not_there_is_gone(self, folder):
        (folder / 'videos' / 'a.mp4').unlink()
        report = check_videos(folder / 'lists' / 'train.txt', folder / 'videos')
        assert report.gone == ['a.mp4'] and report.good == 2 and not report.is_well


@pytest.mark.processes
class TestFoldersOfImages:
    STEP = dict(filename_tmpl='{:05}.jpg')

    @pytest.fixture
    def folder(self, tmp_path):
        write_frames(tmp_path / 'one', frames=20)
        assert check_videos(tmp_path).good == 1
        return tmp_path

    def test_are_written_as_one_video(self, folder):
        (entry,) = read_table(folder / NAME).values()
        assert (entry.path, entry.frames, len(entry.sums), entry.first) == ('one', 20, 20, 1)
        read(folder / 'one', **self.STEP, start_index=1)

    def test_an_image_that_changed_is_refused_when_it_is_read(self, folder):
        image = sorted((folder / 'one').iterdir())[5]
        with open(image, 'ab') as file:
            file.write(b'x')
        with pytest.raises(VideoReadError, match='other content at 00006.jpg'):
            read(folder / 'one', **self.STEP, start_index=1)

    def test_an_image_that_cannot_be_decoded_is_named(self, folder):
        image = sorted((folder / 'one').iterdir())[7]
        image.write_bytes(image.read_bytes()[:300])
        report = check_videos(folder, accept=True)
        assert '00008.jpg cannot be decoded' in report.wrong['one']

    def test_a_missing_image_is_named(self, folder):
        (folder / 'one' / '00004.jpg').unlink()
        assert 'lacks 00004.jpg' in check_videos(folder, accept=True).wrong['one']
