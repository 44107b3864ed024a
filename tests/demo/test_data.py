"""The moving-digits data set: what is in it, and that a stopped run leaves nothing half made."""

import json
import shutil
from collections import Counter

import decord
import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config

from mmstadapter import CaptionDataset, open_video, shipped
from mmstadapter.preparation import blinking_digits, filming, moving_digits, scenes


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
        theirs = decord.VideoReader(str(path)).get_batch([1, 22]).asnumpy()
        np.testing.assert_array_equal(open_video(str(path)).read([1, 22]), theirs)

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


class TestFewShots:
    def test_every_motion_has_so_many_clips_of_the_training_list(self, small_set):
        name = moving_digits.few_shots(small_set, 4, seed=0)
        assert labels_of(small_set / name) == {label: 4 for label in range(8)}
        drawn = set((small_set / name).read_text().splitlines())
        assert drawn < set((small_set / 'train_motion.txt').read_text().splitlines())
        assert len(drawn) == 32

    def test_a_seed_draws_the_same_clips_and_another_one_others(self, small_set):
        first, again, other = (
            (small_set / moving_digits.few_shots(small_set, 4, seed)).read_text()
            for seed in (1, 1, 2)
        )
        assert first == again != other


class TestBlinking:
    @pytest.mark.parametrize('count', blinking_digits.COUNTS)
    def test_the_digit_appears_so_often_and_is_there_in_half_of_the_frames(self, count):
        for seed in range(50):
            there = blinking_digits.timing(count, np.random.default_rng(seed))
            assert (len(there), there.sum()) == (16, 8)
            assert (np.diff(there) == 1).sum() == count
            assert there[0] == there[-1] == 0

    def test_every_length_occurs(self):
        rng = np.random.default_rng(0)
        found = Counter(tuple(blinking_digits.parts(4, 2, rng)) for _ in range(300))
        assert set(found) == {(1, 3), (2, 2), (3, 1)}
        assert min(found.values()) > 60

    def test_full_size_is_a_product_so_that_digits_say_nothing_of_counts(self):
        for split, total, each in (('train', 240, 4), ('val', 420, 7)):
            found = list(blinking_digits.plan(split, 'full'))
            assert len(found) == total == len({name for name, *_ in found})
            pairs = Counter((digit, count) for _, digit, _, count in found)
            assert len(pairs) == 60 and set(pairs.values()) == {each}

    def test_training_scenes_are_independent_and_validation_scenes_are_sixes(self):
        train, val = (
            [film() for _, film in blinking_digits.clips(split, 'small', 0)][:12]
            for split in ('train', 'val')
        )
        bags = [Counter(frame.tobytes() for frame in clip) for clip in train]
        assert not any(
            one.keys() & other.keys() for one, other in zip(bags, bags[1:], strict=False)
        )
        bags = [Counter(frame.tobytes() for frame in clip) for clip in val]
        assert all(bag == bags[0] and set(bag.values()) == {8} for bag in bags[:6])
        assert bags[6] != bags[0]
        assert len({clip.tobytes() for clip in val}) == 12

    def test_the_bound_holds_on_the_files_and_a_look_at_neighbours_passes_it(self, blinking_set):
        assert blinking_digits.count_unequal_scenes(blinking_set, 'small') == 0
        for line in (blinking_set / 'val_counting.txt').read_text().splitlines():
            path, label = line.split()
            clip = filming.read_video(blinking_set / 'videos' / path).astype(float)
            there = (np.abs(clip - clip[0]).mean((1, 2, 3)) > 1).astype(int)
            assert (np.diff(there) == 1).sum() == int(label) + 1

    def test_a_spoilt_scene_is_found(self, blinking_set, tmp_path):
        folder = tmp_path / 'videos'
        shutil.copytree(blinking_set / 'videos', folder)
        shutil.copy(folder / 'val/nine_0_6.mp4', folder / 'val/one_0_6.mp4')
        with pytest.raises(RuntimeError, match='in 1 validation scenes'):
            blinking_digits.check(tmp_path, 'small')

    def test_the_same_seed_makes_the_same_files(self, blinking_set, tmp_path):
        (name, film), *_ = blinking_digits.clips('val', 'small', 0)
        filming.write_video(tmp_path / 'again.mp4', film())
        assert (tmp_path / 'again.mp4').read_bytes() == (
            blinking_set / 'videos' / name
        ).read_bytes()
        assert blinking_digits.prepare(blinking_set, 'small') is False


class TestStoppedRuns:
    @pytest.mark.slow
    def test_nothing_is_listed_before_all_is_there_and_a_second_run_completes(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(moving_digits.SIZES, 'tiny', (('red',), 1))
        write, written = filming.write_video, []

        def stop_after_three(path, clip):
            if len(written) == 3:
                raise KeyboardInterrupt
            write(path, clip)
            written.append(path)

        monkeypatch.setattr(filming, 'write_video', stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            moving_digits.prepare(tmp_path, 'tiny')
        assert not list(tmp_path.glob('*.txt'))
        times = {path: path.stat().st_mtime_ns for path in written}
        monkeypatch.setattr(filming, 'write_video', write)
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

    @pytest.mark.slow
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
