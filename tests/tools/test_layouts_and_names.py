"""Which folders are classes, which files are videos, and names that survive a list."""

import os
import shutil
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mmstadapter import VideoDataset, VideoFolder
from mmstadapter.apis.own_videos import Video, write_list
from mmstadapter.datasets.files import is_video


def folder(root: Path, **classes: int) -> Path:
    """Class folders with so many empty files."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f'{i}.mp4').touch()
    return root


def write_video(path: Path, frames: int = 4) -> Path:
    """A small black video."""
    with av.open(str(path), 'w', format='mp4') as container:
        stream = container.add_stream('mpeg4', rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, 'yuv420p'
        for _ in range(frames):
            image = np.zeros((32, 32, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return path


class TestLayouts:
    @pytest.mark.parametrize(
        'parts',
        [
            ('train', 'val', 'test'),
            ('train', 'test'),
            ('Train', 'Val'),
            ('TRAIN', 'TEST'),
            ('training', 'validation'),
            ('train', 'valid', 'test'),
            ('train', 'dev', 'eval'),
            ('training_set', 'testing_set'),
            ('videos_train', 'videos_val'),
        ],
        ids='-'.join,
    )
    def test_splits_by_any_usual_name_are_no_classes(self, tmp_path, parts):
        for part in parts:
            folder(tmp_path / part, walk=2, run=2)
        (tmp_path / 'annotations').mkdir()  # holds no videos
        found = VideoFolder(tmp_path)
        assert found.labels == ['run', 'walk']
        split = found.split()
        assert list(split) == ['train', 'val', 'test'][: len(parts)]
        last = list(split.values())[-1]
        assert {video.path.split('/')[0] for video in last} == {parts[-1]}

    @pytest.mark.parametrize(
        ('folders', 'reason'),
        [
            ('train/walk train/run walk run', 'train .* stand beside other folders.*: run, walk'),
            ('train test bus', 'beside other folders of videos: bus'),
            ('train test', 'hold videos instead of class folders'),
            ('train/walk train/run', 'neither val nor test. Give .*/train itself'),
            ('val/walk val/run test/walk test/run', 'no folder train'),
            ('train/a train/b Training/a Training/b', 'mean the same'),
            ('train/a train/b val/a val/b val/c', 'classes that .*/train lacks: c'),
            ('walk/train walk/test run/train run/test', 'parts of a split.*: run/test'),
            ('anna/walk anna/run ben/walk ben/run', 'same names: run, walk. Are anna, ben'),
            ('train/anna/x train/anna/y train/ben/x train/ben/y test/anna', 'same names: x, y'),
        ],
    )
    def test_what_can_be_read_in_two_ways_is_refused(self, tmp_path, folders, reason):
        folder(tmp_path, **dict.fromkeys(folders.split(), 1))
        with pytest.raises(ValueError, match=reason):
            VideoFolder(tmp_path)

    def test_a_loose_video_beside_class_folders_is_left_out_and_listed(self, tmp_path):
        for part in ('train', 'val'):
            folder(tmp_path / part, walk=1, run=1)
        (tmp_path / 'train/loose.mp4').touch()
        found = VideoFolder(tmp_path)
        assert found.left_out == {'train/loose.mp4': 'in no class folder'}

    def test_whoever_says_that_they_are_classes_is_believed(self, tmp_path):
        folder(tmp_path, train=1, bus=1, car=1)
        assert VideoFolder(tmp_path, layout='classes').labels == ['bus', 'car', 'train']
        with pytest.raises(ValueError, match='layout must be one of'):
            VideoFolder(tmp_path, layout='x')

    def test_folders_of_their_own_in_class_folders_are_clear(self, tmp_path):
        folder(tmp_path, **{'walk/anna': 1, 'walk/ben': 1, 'run/anna': 1, 'run/cleo': 1, 'sit': 1})
        assert VideoFolder(tmp_path).labels == ['run', 'sit', 'walk']

    def test_names_composed_otherwise_are_the_same_class(self, tmp_path):
        folder(tmp_path / 'train', **{'caf\u00e9': 1, 'bar': 1})
        folder(tmp_path / 'val', **{'cafe\u0301': 1, 'bar': 1})
        assert VideoFolder(tmp_path).split()['val'][1] == Video('val/cafe\u0301/0.mp4', 1)
        folder(tmp_path / 'train', **{'cafe\u0301': 1})
        with pytest.raises(ValueError, match='two folders called caf'):
            VideoFolder(tmp_path)


class TestNames:
    @pytest.mark.parametrize(
        'name',
        [
            ' walk',
            'walk ',
            '\u3000walk',
            '\u00a0walk',
            '\ufeffwalk',
            'a\x0bb\x1c\x85\u2028c',
            '"\'#',
        ],
        ids=ascii,
    )
    def test_a_list_gives_back_every_name_to_the_letter(self, tmp_path, name):
        folder(tmp_path / 'mine', **{name: 2, ' ': 2, 'walk 3': 1})
        (tmp_path / 'mine' / name / f' {name} 7 .mp4 ').touch()
        (tmp_path / 'mine' / name / f'{name}.MP4').touch()
        videos = VideoFolder(tmp_path / 'mine').parts['']
        videos = [v for v in videos if name in v.path] + videos  # the name comes first once
        write_list(tmp_path / 'list.txt', videos)
        dataset = VideoDataset(
            str(tmp_path / 'list.txt'), [], delimiter='\t', data_prefix=dict(video='')
        )
        read = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert [(info['filename'], info['label']) for info in read] == [
            (video.path, video.label) for video in videos
        ]

    @pytest.mark.parametrize(
        'name', [b'caf\xe9.mp4', b'a\tb.mp4', b'a\nb.mp4', b'a\rb.mp4'], ids=ascii
    )
    def test_a_name_no_list_can_hold_is_told_and_left_out(self, tmp_path, name):
        folder(tmp_path, a=1, b=1)
        for label in 'ab':
            write_video(tmp_path / label / '0.mp4', frames=2)
        shutil.copy(tmp_path / 'a/0.mp4', os.fsencode(tmp_path / 'a') + b'/' + name)
        found = VideoFolder(tmp_path)
        (bad,) = found.check()
        assert os.fsencode(bad.path) == b'a/' + name and 'rename it' in bad.reason
        assert len(found.parts['']) == 2

    def test_everything_that_is_left_out_is_listed_with_its_reason(self, tmp_path):
        folder(tmp_path, a=1, b=1)
        write_video(tmp_path / 'video.mp4', frames=4)
        for to in ('download', 'a/dQw4w9XgXcQ', 'a/take 1.2', 'b/old.DIVX', 'a/.hidden.mp4'):
            shutil.copy(tmp_path / 'video.mp4', tmp_path / to)
        for to in ('b/notes.txt', 'b/notes', 'b/empty.xyz'):
            (tmp_path / to).touch()
        (tmp_path / 'b/gone.mp4').symlink_to('nowhere')
        (tmp_path / 'elsewhere').mkdir()
        (tmp_path / 'b/linked').symlink_to(tmp_path / 'b', target_is_directory=True)
        shutil.rmtree(tmp_path / 'elsewhere')
        found = VideoFolder(tmp_path)
        assert [video.path for video in found.parts['']] == [
            'a/0.mp4', 'a/dQw4w9XgXcQ', 'a/take 1.2', 'b/0.mp4', 'b/old.DIVX',
        ]  # fmt: skip
        unlike = 'no video by its suffix or content'
        assert found.left_out == {
            'download': 'in no class folder',
            'video.mp4': 'in no class folder',
            'a/.hidden.mp4': 'hidden',
            'b/notes.txt': '.txt is no video',
            'b/notes': unlike,
            'b/empty.xyz': unlike,
            'b/gone.mp4': 'a link to nothing, or no file',
        }

    def test_links_to_folders_are_followed_once(self, tmp_path):
        folder(tmp_path / 'disk', x=2)
        folder(tmp_path / 'mine', a=1, b=1)
        (tmp_path / 'mine/a/more').symlink_to(tmp_path / 'disk/x')
        (tmp_path / 'mine/a/loop').symlink_to(tmp_path / 'mine/a')
        (tmp_path / 'mine/c').symlink_to(tmp_path / 'disk/x')
        found = VideoFolder(tmp_path / 'mine')
        assert [v.path for v in found.parts['']] == [
            'a/0.mp4', 'a/more/0.mp4', 'a/more/1.mp4', 'b/0.mp4', 'c/0.mp4', 'c/1.mp4',
        ]  # fmt: skip

    @pytest.mark.parametrize('kind', ['png', 'jpg', 'webp', 'text', 'noise', 'playlist', 'sound'])
    def test_what_is_no_video_by_content_is_none(self, tmp_path, kind):
        write_video(tmp_path / 'video.mp4', frames=4)
        path = tmp_path / 'nameless'
        if kind == 'sound':
            with wave.open(str(path), 'wb') as file:
                file.setparams((1, 2, 8000, 0, 'NONE', ''))
                file.writeframes(bytes(8000))
        elif kind in ('png', 'jpg', 'webp'):
            cv2.imwrite(f'{path}.{kind}', np.zeros((9, 9, 3), np.uint8))
            Path(f'{path}.{kind}').rename(path)
        else:
            texts = dict(text=b'hello ' * 99, noise=bytes(range(256)) * 9)
            path.write_bytes(texts.get(kind, b"ffconcat version 1.0\nfile 'video.mp4'\n"))
        assert not is_video(path)
