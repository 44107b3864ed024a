"""Folders of class folders, splits, and the recipe that a data set's size asks for."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmstadapter.apis.own_videos import Video, VideoFolder
from mmstadapter.apis.recipe import Recipe, clip_length, config_text
from mmstadapter.apis.results import interval, mistakes, write_results

K400 = 'mmstadapter::stadapter_vit-b_k400.py'


def folder(root: Path, **classes: int) -> Path:
    """Class folders with so many empty files."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f'{i}.mp4').touch()
    return root


@pytest.fixture(scope='module')
def k400():
    return Config.fromfile(Path(__file__).parents[2] / 'configs/stadapter_vit-b_k400.py')


def videos(count: int, seconds: float = 10, fps: float = 30) -> list[Video]:
    return [Video(f'{i}.mp4', i % 2, round(seconds * fps), fps) for i in range(count)]


class TestFolder:
    def test_labels_are_the_folders_in_alphabetic_order(self, tmp_path):
        found = VideoFolder(folder(tmp_path, walk=2, run=1, _x=1))
        assert found.labels == ['_x', 'run', 'walk']
        assert [v.path for v in found.parts['']][:2] == ['_x/0.mp4', 'run/0.mp4']

    def test_folders_in_class_folders_and_capital_suffixes_count(self, tmp_path):
        folder(tmp_path, a=1, b=1)
        (tmp_path / 'b/deep').mkdir()
        (tmp_path / 'b/deep/X.MOV').touch()
        (tmp_path / 'b/notes.txt').touch()
        assert len(VideoFolder(tmp_path).parts['']) == 3

    def test_empty_class_folders_are_named(self, tmp_path):
        with pytest.raises(ValueError, match='no videos in the class folders b, c of'):
            VideoFolder(folder(tmp_path, a=1, b=0, c=0))

    def test_one_class_is_too_few(self, tmp_path):
        with pytest.raises(ValueError, match='at least two'):
            VideoFolder(folder(tmp_path, a=1))

    def test_no_folder_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no folder'):
            VideoFolder(tmp_path / 'none')

    def test_a_class_that_ends_empty_is_named(self, tmp_path):
        found = VideoFolder(folder(tmp_path, a=1, b=2))
        with pytest.raises(ValueError, match='no video of a, b can be read(.|\n)*a/0.mp4: '):
            found.check()

    def test_train_and_val_are_taken_as_they_are(self, tmp_path):
        folder(tmp_path / 'train', a=2, b=2)
        folder(tmp_path / 'val', b=1)
        parts = VideoFolder(tmp_path).split()
        assert [len(parts['train']), len(parts['val'])] == [4, 1]
        assert parts['val'] == [Video('val/b/0.mp4', 1)]

    def test_a_class_of_val_that_train_lacks_is_named(self, tmp_path):
        folder(tmp_path / 'train', a=2, b=2)
        folder(tmp_path / 'val', c=1)
        with pytest.raises(ValueError, match='train lacks: c'):
            VideoFolder(tmp_path)


class TestSplit:
    def test_it_takes_the_share_of_each_class_and_repeats_itself(self, tmp_path):
        found = VideoFolder(folder(tmp_path, a=10, b=20))
        parts = found.split(0.2)
        assert [sum(v.label == label for v in parts['val']) for label in (0, 1)] == [2, 4]
        assert parts == VideoFolder(tmp_path).split(0.2)
        assert parts != found.split(0.2, seed=1)

    def test_another_video_moves_no_other_from_training_to_validation(self, tmp_path):
        before = VideoFolder(folder(tmp_path, a=10, b=10)).split(0.2)['val']
        (tmp_path / 'a/new.mp4').touch()
        after = VideoFolder(tmp_path).split(0.2)['val']
        assert len(set(after) - set(before) - {Video('a/new.mp4', 0)}) == 0

    @pytest.mark.parametrize('share', [0.01, 0.5, 0.99])
    def test_every_class_of_two_is_on_both_sides(self, tmp_path, share):
        parts = VideoFolder(folder(tmp_path, a=2, b=3, c=1)).split(share)
        assert {v.label for v in parts['train']} == {0, 1, 2}
        assert {v.label for v in parts['val']} == {0, 1}

    @pytest.mark.parametrize('share', [0, 1, -1])
    def test_shares_that_leave_nothing_are_refused(self, tmp_path, share):
        with pytest.raises(ValueError, match=r'val_fraction must be a share'):
            VideoFolder(folder(tmp_path, a=2, b=2)).split(share)


class TestRecipe:
    @pytest.mark.parametrize(
        ('count', 'batch', 'epochs'),
        [(2, 4, 50), (100, 4, 32), (200, 8, 32), (1000, 32, 25), (50000, 32, 12)],
    )
    def test_batch_and_epochs_follow_the_number_of_videos(self, k400, count, batch, epochs):
        recipe = Recipe.choose(videos(count), ['a', 'b'], k400)
        assert (recipe.batch_size, recipe.epochs) == (batch, epochs)

    def test_the_learning_rate_follows_the_square_root_of_the_batch(self, k400):
        recipe = Recipe.choose(videos(9), ['a', 'b'], k400, batch_size=48)
        assert recipe.lr == pytest.approx(7.5e-4 / 2, rel=0.02)

    def test_long_videos_are_sampled_as_kinetics(self, k400):
        recipe = Recipe.choose(videos(9, seconds=10, fps=30), ['a', 'b'], k400)
        assert (recipe.sampling, recipe.frame_interval, recipe.views) == ('stride', 16, 3)
        slow = Recipe.choose(videos(9, seconds=10, fps=15), ['a', 'b'], k400)
        assert slow.frame_interval == 8

    def test_short_videos_are_seen_whole(self, k400):
        recipe = Recipe.choose(videos(9, seconds=4), ['a', 'b'], k400)
        assert (recipe.sampling, recipe.views) == ('segments', 1)

    @pytest.mark.parametrize('name', ['turn left', 'Right_hand', 'LEFT'])
    def test_classes_with_sides_are_not_mirrored(self, k400, name):
        recipe = Recipe.choose(videos(9), ['a', name], k400)
        steps = recipe.pipeline(k400.train_pipeline, False)
        assert not recipe.flip and 'Flip' not in [step['type'] for step in steps]
        assert Recipe.choose(videos(9), ['a', 'bright'], k400).flip

    def test_given_values_win(self, k400):
        given = dict(batch_size=3, epochs=5, lr=0.1, sampling='base')
        recipe = Recipe.choose(videos(9), ['a', 'b'], k400, **given)
        assert (recipe.batch_size, recipe.epochs, recipe.lr) == (3, 5, 0.1)
        resized = dict(k400.train_pipeline[3], pixels='uint8')
        expected = [*k400.train_pipeline[:3], resized, *k400.train_pipeline[4:]]
        assert recipe.pipeline(k400.train_pipeline, False) == expected

    @pytest.mark.parametrize('given', [dict(epochs=1), dict(batch_size=0), dict(sampling='x')])
    def test_impossible_values_are_refused(self, k400, given):
        with pytest.raises(ValueError, match='Recipe: '):
            Recipe.choose(videos(9), ['a', 'b'], k400, **given)

    @pytest.mark.parametrize('seconds', [2, 10])
    def test_its_config_reads_back(self, k400, tmp_path, seconds):
        recipe = Recipe.choose(videos(9, seconds), list('abcdefg'), k400)
        trunk = dict(arch='vit-b-p32', checkpoint='openai/ViT-B-32')
        text = config_text(recipe, K400, k400, trunk, tmp_path / "o'x", tmp_path, [*'abcdefg'], 2)
        (tmp_path / 'recipe.py').write_text(text)
        config = Config.fromfile(tmp_path / 'recipe.py')
        assert config.model.backbone.trunk.arch == 'vit-b-p32'
        assert config.val_dataloader.dataset.data_prefix.video == str(tmp_path / "o'x")
        assert config.optim_wrapper.optimizer.lr == recipe.lr
        assert config.optim_wrapper.type == 'mmstadapter.AmpOptimWrapper'
        assert config.train_cfg == dict(
            type='EpochBasedTrainLoop', max_epochs=recipe.epochs, val_interval=10
        )
        assert clip_length(config) == 8

    def test_its_config_holds_what_was_chosen_and_no_more_lines_than_can_be_read(self, k400):
        recipe = Recipe.choose(videos(9, 10), ['a', 'b'], k400)
        made = config_text(
            recipe, K400, k400, {}, Path('/v'), Path('/w'), ['a', 'b'], 2, tested='test',
            from_scratch=True,
        )  # fmt: skip
        config = Config.fromstring(made, '.py')
        for kind, part in (('train', 'train'), ('val', 'val'), ('test', 'test')):
            pipeline = k400.train_pipeline if kind == 'train' else k400.test_pipeline
            expected = dict(
                type='mmstadapter.VideoDataset',
                ann_file=f'/w/{part}.txt',
                data_prefix=dict(video='/v'),
                delimiter='\t',
                num_classes=2,
                pipeline=recipe.pipeline(pipeline, kind != 'train'),
            )
            dataset = config[f'{kind}_dataloader'].dataset.to_dict()
            assert dataset == expected | ({} if kind == 'train' else dict(test_mode=True))
        assert config.load_from is None and config.work_dir == '/w/training'
        for evaluator in (config.val_evaluator, config.test_evaluator):
            assert evaluator.metric_options == dict(top_k_accuracy=dict(topk=(1,)))
            assert evaluator.type == 'mmstadapter.VideoAccMetric'
        lines = made.splitlines()
        assert len(lines) < 80 and max(map(len, lines)) <= 100

    def test_no_class_name_can_end_the_header(self, k400, tmp_path):
        labels = ['a', 'left"""\nraise SystemExit\\']
        recipe = Recipe.choose(videos(9), labels, k400)
        text = config_text(recipe, K400, k400, {}, tmp_path, tmp_path, labels, 2, ['a="b"'])
        (tmp_path / 'recipe.py').write_text(text)
        assert Config.fromfile(tmp_path / 'recipe.py').model.cls_head.num_classes == 2

    def test_a_backbone_with_its_own_frame_count_must_agree(self, k400):
        config = Config(k400.to_dict())
        config.model.backbone.num_frames = 16
        with pytest.raises(ValueError, match=r'model.backbone.num_frames: 16'):
            clip_length(config)


class TestResults:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.0, 1.0]])
    tested = [Video(f'{i}.mp4', 0) for i in range(4)]

    def test_the_most_certain_mistake_comes_first(self):
        found = mistakes(self.tested, self.scores, ['a', 'b'])
        assert [entry['video'] for entry in found] == ['3.mp4', '1.mp4', '2.mp4']
        assert found[0] == dict(
            video='3.mp4', label='a', label_score=0.0, predicted='b', predicted_score=1.0
        )

    def test_a_video_lost_in_the_test_is_never_right(self, tmp_path):
        names = ['<a> $x$', 'b']
        write_results(self.tested, self.scores, names, tmp_path, tmp_path, bad=[0])
        result = json.loads((tmp_path / 'confusion.json').read_text())
        assert (result['videos'], result['undecodable'], result['top1']) == (4, 1, 0)
        assert result['counts'] == [[0, 3], [0, 0]]

    def test_the_page_escapes_names_and_survives_files_that_are_gone(self, tmp_path):
        write_results(self.tested, self.scores, ['<a> $x$', 'b'], tmp_path, tmp_path)
        page = (tmp_path / 'mistakes.html').read_text()
        assert '3 mistakes' in page and '&lt;a&gt;' in page and '<a> $' not in page
        assert page.index('3.mp4') < page.index('1.mp4')

    @pytest.mark.parametrize(
        ('right', 'total', 'low', 'high'),
        [(15, 20, 53.13, 88.81), (0, 10, 0, 27.75), (5, 5, 56.55, 100), (0, 0, 0, 100)],
    )
    def test_the_interval_is_wilsons(self, right, total, low, high):
        assert interval(right, total) == pytest.approx((low, high), abs=0.02)

    def test_the_figure_comes_with_its_interval_and_the_chance_level(self, tmp_path):
        result = write_results(self.tested, self.scores, ['a', 'b'], tmp_path, tmp_path)
        assert (result['top1'], result['chance']) == (25, 100)
        assert list(result['top1_interval']) == pytest.approx([4.6, 69.9], abs=0.1)

    def test_signs_that_no_font_has_are_no_noise(self, tmp_path, recwarn):
        write_results(self.tested, self.scores, ['\u8d70', '\u8dd1'], tmp_path, tmp_path)
        assert not [w for w in recwarn if 'Glyph' in str(w.message) or 'findfont' in str(w.message)]
