"""The moving-digits data set: what is in it, and that a stopped run leaves nothing half made."""

import json
from collections import Counter

import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config

from mmstadapter import CaptionDataset, open_video, shipped
from mmstadapter.preparation import moving_digits, scenes


def labels_of(path) -> Counter:
    return Counter(int(line.rsplit(maxsplit=1)[1]) for line in path.read_text().splitlines())


class TestScenes:
    def test_handwriting_is_parted_without_overlap(self):
        glyphs = scenes.split_glyphs()
        seen = {split: [g.tobytes() for part in glyphs[split] for g in part] for split in glyphs}
        assert (len(seen['train']), len(seen['val'])) == (1297, 500)
        assert not set(seen['train']) & set(seen['val'])

    def test_the_parting_never_changes(self):
        first = [len(part) for part in scenes.split_glyphs()['val']]
        assert first == [51, 53, 47, 48, 49, 46, 48, 57, 50, 51]

    def test_full_size_is_balanced(self):
        train, val = (list(moving_digits.plan(split, 'full')) for split in ('train', 'val'))
        assert (len(train), len(val)) == (800, 400)
        for part, each in ((train, 100), (val, 50)):
            assert set(Counter(s.motion for _, s, _ in part).values()) == {each}
            assert set(Counter(s.colour for _, s, _ in part).values()) == {len(part) // 5}
            assert set(Counter(s.digit for _, s, _ in part).values()) == {len(part) // 10}
        assert len({name for name, _, _ in train + val}) == 1200

    def test_training_scenes_are_independent_and_validation_scenes_are_pairs(self):
        train, val = (list(moving_digits.plan(split, 'full')) for split in ('train', 'val'))
        assert len({key for _, _, key in train}) == 800
        assert set(Counter(key for _, _, key in val).values()) == {2}
        assert not {key for _, _, key in train} & {key for _, _, key in val}

    def test_the_pattern_tells_the_pair_and_not_the_direction(self):
        for first, second in scenes.PAIRS:
            one, other = (scenes.Scene(3, 'red', motion) for motion in (first, second))
            assert one.pair == other.pair
            assert (one.is_reversed, other.is_reversed) == (False, True)

    def test_there_are_80_captions_one_for_digit_and_motion(self):
        assert len(set(scenes.every_caption())) == 80
        grey = [s.caption for _, s, _ in moving_digits.plan('val', 'full') if s.colour == 'grey']
        assert sorted(grey) == sorted(scenes.every_caption())

    def test_motions_go_where_their_names_say(self):
        glyph = np.ones((8, 8), np.float32)

        def light(motion):  # centre (x, y), area and brightness of the digit, frame by frame
            clip = scenes.film(scenes.Scene(0, 'grey', motion), glyph, np.random.default_rng(0))
            ink = np.clip(clip.astype(float).mean(-1) - 110, 0, None)
            y, x = np.mgrid[:32, :32]
            total = ink.sum((1, 2))
            return (ink * x).sum((1, 2)) / total, (ink * y).sum((1, 2)) / total, total

        assert light('right')[0][-1] > light('right')[0][0] + 5
        assert light('down')[1][-1] > light('down')[1][0] + 5
        assert light('grow')[2][-1] > 1.5 * light('grow')[2][0]
        assert light('appear')[2][-1] > 1.5 * light('appear')[2][0]
        assert light('left')[0][-1] < light('left')[0][0] - 5


class TestFiles:
    def test_both_directions_decode_to_the_same_frames(self, small_set):
        assert moving_digits.count_unequal_pairs(small_set) == 0
        right = moving_digits.read_video(small_set / 'videos/val/five_grey_right.mp4')
        left = moving_digits.read_video(small_set / 'videos/val/five_grey_left.mp4')
        assert right.shape == (24, 32, 32, 3)
        np.testing.assert_array_equal(right, left[::-1])
        assert not np.array_equal(right, left)

    def test_our_reader_sees_what_decord_sees(self, small_set):
        path = small_set / 'videos/val/five_grey_right.mp4'
        ours = open_video(str(path)).read([1, 22])
        np.testing.assert_array_equal(ours, moving_digits.read_video(path)[[1, 22]])

    def test_files_look_like_the_rendered_scene(self, small_set):
        name, scene, key = next(moving_digits.plan('val', 'small'))
        rng = np.random.default_rng((0, *key))
        originals = scenes.split_glyphs()['val'][scene.digit]
        clip = scenes.film(scene, originals[rng.integers(len(originals))], rng)
        decoded = moving_digits.read_video(small_set / 'videos' / name)
        assert np.abs(clip.astype(float) - decoded).mean() < 8  # chroma is stored at half size

    def test_lists_name_every_video_once_with_balanced_labels(self, small_set):
        for split in ('train', 'val'):
            on_disk = sorted(f'{split}/{p.name}' for p in small_set.glob(f'videos/{split}/*.mp4'))
            for task, classes in (('motion', 8), ('digit', 10)):
                path = small_set / f'{split}_{task}.txt'
                assert sorted(line.split()[0] for line in path.read_text().splitlines()) == on_disk
                assert labels_of(path) == {label: 80 // classes for label in range(classes)}

    def test_label_names_fit_the_labels(self, small_set):
        motions = (small_set / 'motion_labels.txt').read_text().split()
        for line in (small_set / 'val_motion.txt').read_text().splitlines():
            path, label = line.split()
            assert path.endswith(f'_{motions[int(label)]}.mp4')

    def test_captions_name_digit_and_motion(self, small_set):
        captions = json.loads((small_set / 'val_captions.json').read_text())
        assert captions['val/three_grey_left.mp4'] == ['the digit three moves to the left']
        assert len({text for texts in captions.values() for text in texts}) == 80

    def test_the_captioned_data_set_reads_its_captions(self, small_set):
        settings = dict(data_root=str(small_set), data_prefix=dict(video='videos'))
        train = CaptionDataset('train_captions.json', [], **settings)
        steps = list(TestPipeline.config.test_pipeline[:-1])
        steps.append(dict(type='PackActionInputs', meta_keys=('video_id', 'captions')))
        test = CaptionDataset('val_captions.json', steps, test_mode=True, **settings)
        assert (len(train), len(test)) == (80, 80)
        first, *_ = test
        assert first['inputs'].shape == (1, 3, 8, 32, 32)
        assert first['data_samples'].captions == ['the digit zero moves to the right']


class TestStoppedRuns:
    def test_nothing_is_listed_before_all_is_there_and_a_second_run_completes(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(moving_digits.SIZES, 'tiny', (('red',), 1))
        write, written = moving_digits.write_video, []

        def stop_after_three(path, clip):
            if len(written) == 3:
                raise KeyboardInterrupt
            write(path, clip)
            written.append(path)

        monkeypatch.setattr(moving_digits, 'write_video', stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            moving_digits.prepare(tmp_path, 'tiny')
        assert not list(tmp_path.glob('*.txt'))
        times = {path: path.stat().st_mtime_ns for path in written}
        monkeypatch.setattr(moving_digits, 'write_video', write)
        assert moving_digits.prepare(tmp_path, 'tiny') is True
        assert len(list(tmp_path.glob('videos/*/*.mp4'))) == 160
        assert times == {path: path.stat().st_mtime_ns for path in written}
        assert moving_digits.prepare(tmp_path, 'tiny') is False

    def test_a_video_that_went_missing_is_made_again_alike(self, small_set):
        path = small_set / 'videos/train/nine_grey_up_0.mp4'
        before = path.read_bytes()
        path.unlink()
        assert moving_digits.prepare(small_set, 'small') is True
        assert path.read_bytes() == before

    def test_another_data_set_is_not_mixed_in(self, small_set):
        with pytest.raises(SystemExit, match='holds another data set'):
            moving_digits.prepare(small_set, 'small', seed=1)


class TestPipeline:
    config = Config.fromfile(shipped.config('_base_/datasets/demo.py'))

    def sample(self, pipeline: str) -> list[int]:
        (step,) = (s for s in self.config[pipeline] if s['type'] == 'SampleFrames')
        results = TRANSFORMS.build(dict(step))(dict(total_frames=24, start_index=0))
        return results['frame_inds'].tolist()

    def test_testing_frames_are_symmetric_under_reversal(self):
        frames = self.sample('test_pipeline')
        assert frames == [1, 4, 7, 10, 13, 16, 19, 22]
        assert [23 - i for i in reversed(frames)] == frames

    def test_training_takes_one_frame_of_each_three(self):
        draws = np.array([self.sample('train_pipeline') for _ in range(200)])
        np.testing.assert_array_equal(draws // 3, np.arange(8)[None].repeat(200, 0))
        assert all(set(column % 3) == {0, 1, 2} for column in draws.T)

    def test_loaded_clips_of_a_pair_are_each_others_reverse(self, small_set):
        settings = self.config.val_dataloader.dataset.to_dict() | dict(data_root=str(small_set))
        dataset = DATASETS.build(settings)
        index = {dataset.get_data_info(i)['filename']: i for i in range(len(dataset))}
        for first, second in scenes.PAIRS:
            forward, backward = (
                dataset[index[f'{small_set}/videos/val/eight_grey_{motion}.mp4']]['inputs']
                for motion in (first, second)
            )
            assert forward.shape == (1, 3, 8, 32, 32)
            assert forward.equal(backward.flip(2))
            assert not forward.equal(backward)
