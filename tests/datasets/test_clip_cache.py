"""`mmstadapter cache`: the same frames without decoding, and never others."""

import os
import random

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from safetensors.torch import load_file, save_file

from mmstadapter import VideoDecode, VideoInit
from mmstadapter.apis import caching
from mmstadapter.commands import cache
from mmstadapter.datasets import clip_cache
from mmstadapter.datasets.clip_cache import CachedVideo, Storing, is_cached, place, store
from mmstadapter.datasets.opening import VideoReadError
from mmstadapter.datasets.readers import open_video
from mmstadapter.preparation.filming import write_video

PIPELINE = """
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleStride', clip_len=4, frame_interval=1),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.RandomResizedSquare', size=32),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
train_dataloader = dict(dataset=dict(
    type='mmstadapter.VideoDataset', ann_file='{list}', num_classes=2, pipeline=train_pipeline,
))
"""


@pytest.fixture
def videos(tmp_path):
    """Two clips of 12 frames of 48 x 64."""
    paths = []
    for number in range(2):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)
        paths.append(tmp_path / f'{number}.mp4')
        write_video(paths[-1], coarse.repeat(8, axis=1).repeat(8, axis=2))
    return [str(path) for path in paths]


@pytest.fixture
def config(tmp_path, videos):
    (tmp_path / 'list.txt').write_text(''.join(f'{path} {i}\n' for i, path in enumerate(videos)))
    path = tmp_path / 'mine.py'
    path.write_text(PIPELINE.replace('{list}', str(tmp_path / 'list.txt')))
    return path


def clip(config, path: str, seed: int) -> torch.Tensor:
    """What a config's training makes of a video."""
    random.seed(seed)
    np.random.seed(seed)
    steps = Compose(Config.fromfile(config).train_dataloader.dataset.pipeline)
    return steps(dict(filename=path, label=0, start_index=0, modality='RGB'))['inputs']


class TestFrames:
    @pytest.mark.parametrize('budget', [1, 2**20])
    def test_every_bit_number_and_time_is_that_of_the_video(
        self, videos, tmp_path, monkeypatch, budget
    ):
        monkeypatch.setattr(clip_cache, 'BUDGET', budget)  # in parts of a frame, or at once
        store(tmp_path / 'cache', videos[0], Storing())
        ours, theirs = CachedVideo(tmp_path / 'cache', videos[0]), open_video(videos[0])
        assert len(ours) == len(theirs) == 12 and ours.fps == theirs.fps
        np.testing.assert_array_equal(ours.times, theirs.times)
        asked = [3, 11, 0, 3]
        for frame, other in zip(ours.read(asked), theirs.read(asked), strict=True):
            np.testing.assert_array_equal(frame, other)

    def test_repeated_frames_are_arrays_of_their_own(self, videos, tmp_path):
        store(tmp_path, videos[0], Storing())
        first, second = CachedVideo(tmp_path, videos[0]).read([2, 2])
        first[:] = 0
        assert second.any()

    def test_jpeg_is_as_far_from_them_as_is_said(self, videos, tmp_path):
        _, (mean, largest) = store(tmp_path, videos[0], Storing(jpeg=90))
        both = (
            reader.read(range(12))
            for reader in (CachedVideo(tmp_path, videos[0]), open_video(videos[0]))
        )
        ours, theirs = (np.stack(frames).astype(int) for frames in both)
        assert 0 < np.abs(ours - theirs).mean() == pytest.approx(mean)
        assert np.abs(ours - theirs).max() == largest < 64

    def test_a_short_side_shrinks_and_never_enlarges(self, videos, tmp_path):
        for side, shape in ((24, (24, 32, 3)), (100, (48, 64, 3))):
            store(tmp_path / str(side), videos[0], Storing(short_side=side))
            assert CachedVideo(tmp_path / str(side), videos[0]).read([0])[0].shape == shape

    def test_an_index_outside_is_refused_as_of_a_video(self, videos, tmp_path):
        store(tmp_path, videos[0], Storing())
        with pytest.raises(VideoReadError, match='has frames 0 to 11, asked for 12'):
            CachedVideo(tmp_path, videos[0]).read([12])


class TestTraining:
    def test_clips_are_equal_bit_for_bit(self, config, videos, tmp_path):
        cache.main([str(config), '--out', str(tmp_path / 'cache'), '--num-workers', '1'])
        cached = tmp_path / 'cached.py'
        cached.write_text(f"_base_ = 'mine.py'\ncache = {str(tmp_path / 'cache')!r}\n")
        for seed in range(4):
            expected = clip(config, videos[seed % 2], seed)
            assert torch.equal(clip(cached, videos[seed % 2], seed), expected)

    def test_nothing_is_decoded(self, config, videos, tmp_path, monkeypatch):
        store(tmp_path / 'cache', videos[0], Storing())
        monkeypatch.delattr('mmstadapter.datasets.loading.open_video')
        results = VideoInit(cache=str(tmp_path / 'cache'))(dict(filename=videos[0]))
        results |= dict(frame_inds=np.arange(3), start_index=0)
        assert len(VideoDecode()(results)['imgs']) == 3

    def test_a_name_without_mp4_is_that_video(self, videos, tmp_path):
        store(tmp_path, videos[0], Storing())
        results = VideoInit(cache=str(tmp_path))(dict(filename=videos[0].removesuffix('.mp4')))
        assert results['total_frames'] == 12

    def test_videos_that_are_not_local_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match='a cache is of local videos'):
            VideoInit(cache=str(tmp_path), backend_args=dict(backend='http'))


class TestRefusals:
    def test_a_video_that_is_not_there_yet(self, videos, tmp_path):
        with pytest.raises(
            ValueError, match='0.mp4 is not in the cache .* Run `mmstadapter cache`'
        ):
            CachedVideo(tmp_path, videos[0])

    def test_a_video_that_changed(self, videos, tmp_path):
        store(tmp_path, videos[0], Storing())
        os.utime(videos[0], (1, 1))
        with pytest.raises(ValueError, match='changed since it was put into'):
            CachedVideo(tmp_path, videos[0])
        assert not is_cached(tmp_path, videos[0], Storing())

    def test_a_video_that_is_gone(self, videos, tmp_path):
        store(tmp_path, videos[0], Storing())
        os.unlink(videos[0])
        with pytest.raises(VideoReadError, match='no such file'):
            CachedVideo(tmp_path, videos[0])

    @pytest.mark.parametrize('how', [Storing(), Storing(jpeg=90)], ids=['bits', 'jpeg'])
    def test_a_frame_that_is_not_what_was_stored(self, videos, tmp_path, how):
        store(tmp_path, videos[0], how)
        file = place(tmp_path, videos[0])
        header = clip_cache.header_of(file, clip_cache.FORMAT, '')
        tensors = load_file(file)
        tensors['jpegs' if how.jpeg else 'frames'].flatten()[-5] ^= 1
        save_file(tensors, file, header)
        video = CachedVideo(tmp_path, videos[0])
        video.read([0])
        with pytest.raises(ValueError, match='frame 11 of .* is not what was stored'):
            video.read([11])

    @pytest.mark.parametrize('content', [b'', b'abc', b'\x08' + bytes(30)])
    def test_a_file_that_is_damaged(self, videos, tmp_path, content):
        store(tmp_path, videos[0], Storing())
        place(tmp_path, videos[0]).write_bytes(content)
        with pytest.raises(ValueError, match='is damaged'):
            CachedVideo(tmp_path, videos[0])
        assert not is_cached(tmp_path, videos[0], Storing())

    @pytest.mark.parametrize('wrong', [dict(short_side=0), dict(jpeg=0), dict(jpeg=101)])
    def test_impossible_settings(self, wrong):
        with pytest.raises(ValueError, match='cache: '):
            Storing(**wrong)


class TestCommand:
    def arguments(self, config, tmp_path, *more: str) -> list[str]:
        return [str(config), '--out', str(tmp_path / 'cache'), '--num-workers', '1', *more]

    def test_size_and_time_are_told_before_anything_is_written(self, config, tmp_path, capsys):
        cache.main(self.arguments(config, tmp_path, '--dry-run'))
        said = capsys.readouterr().out
        assert '2 of 2 videos to decode: about 0.00 GB' in said and 'Nothing was written' in said
        assert not (tmp_path / 'cache').exists()

    def test_what_is_there_is_not_decoded_again(self, config, videos, tmp_path, capsys):
        cache.main(self.arguments(config, tmp_path))
        assert '2 videos, 2 decoded now' in capsys.readouterr().out
        os.utime(videos[1], (1, 1))
        cache.main(self.arguments(config, tmp_path))
        assert '1 of 2 videos to decode' in (said := capsys.readouterr().out)
        assert '2 videos, 1 decoded now' in said

    @pytest.mark.processes
    def test_several_processes_store_the_same(self, config, videos, tmp_path):
        cache.main([str(config), '--out', str(tmp_path / 'cache'), '--num-workers', '2'])
        for path in videos:
            expected = open_video(path).read(range(12))
            np.testing.assert_array_equal(
                CachedVideo(tmp_path / 'cache', path).read(range(12)), expected
            )

    def test_other_settings_decode_again(self, config, tmp_path, capsys):
        cache.main(self.arguments(config, tmp_path))
        cache.main(self.arguments(config, tmp_path, '--jpeg', '95'))
        said = capsys.readouterr().out
        assert '2 videos, 2 decoded now' in said and 'JPEG 95: ' in said

    def test_a_full_disk_is_refused(self, config, tmp_path, monkeypatch):
        monkeypatch.setattr(caching, 'free_room', lambda folder: 1000)
        with pytest.raises(SystemExit, match='do not fit the 0.00 GB'):
            cache.main(self.arguments(config, tmp_path))
        assert not (tmp_path / 'cache').exists()

    def test_a_damaged_video_is_named_and_stays_one_in_training(
        self, config, videos, tmp_path, capsys
    ):
        content = open(videos[1], 'rb').read()
        open(videos[1], 'wb').write(content[: len(content) // 2])
        cache.main(self.arguments(config, tmp_path))
        assert f'cannot be decoded: {videos[1]}: ' in capsys.readouterr().out
        with pytest.raises(VideoReadError):
            CachedVideo(tmp_path / 'cache', videos[1])

    def test_a_list_that_is_missing_is_named(self, config, tmp_path):
        (tmp_path / 'list.txt').unlink()
        with pytest.raises(SystemExit, match='no annotation file'):
            cache.main(self.arguments(config, tmp_path))

    def test_a_loader_that_is_missing_is_named(self, config, tmp_path):
        with pytest.raises(SystemExit, match='has no val_dataloader'):
            cache.main(self.arguments(config, tmp_path, '--loaders', 'val'))
