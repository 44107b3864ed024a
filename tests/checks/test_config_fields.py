"""One field of a config sets frames, distances, views, crops, classes wherever they stand."""

from copy import deepcopy

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmstadapter.apis import creating
from mmstadapter.apis.building import config_of
from mmstadapter.checks import ConfigError, prepare
from mmstadapter.launch import parse_options

LOADERS = ('train', 'val', 'test')


@pytest.fixture
def read(tmp_path):
    """The config of a file with these lines."""

    def read(lines: str, name: str = 'mine.py') -> Config:
        (tmp_path / name).write_text(lines)
        return Config.fromfile(tmp_path / name)

    return read


def of(cfg: Config, key: str = 'clip_len') -> list[int | None]:
    """What the sampling or cropping steps of the three loaders have."""
    return [
        next(
            (step[key] for step in cfg[f'{kind}_dataloader'].dataset.pipeline if key in step), None
        )
        for kind in LOADERS
    ]


def base(name: str) -> str:
    return f"_base_ = 'mmstadapter::{name}.py'\n"


@pytest.fixture
def recipe(read):
    return read(base('stadapter_vit-b_k400'))


class TestEveryWayToSayIt:
    def test_in_a_config_that_inherits(self, read):
        cfg = read(base('stadapter_vit-b_k400') + 'clip_len, frame_interval = 16, 8\n')
        assert of(cfg) == [16] * 3 and of(cfg, 'frame_interval') == [8] * 3

    def test_in_a_config_that_inherits_that_one(self, read, tmp_path):
        read(base('stadapter_vit-b_k400') + 'clip_len = 16\n', 'parent.py')
        assert of(read("_base_ = 'parent.py'\n")) == [16] * 3
        assert of(read("_base_ = 'parent.py'\nclip_len = 2 * _base_.clip_len\n")) == [32] * 3

    def test_by_name(self, recipe):
        recipe.merge_from_dict({'clip_len': 16})
        assert of(recipe) == [16] * 3

    def test_by_name_in_a_config_that_has_no_such_field(self, read):
        cfg = read(base('stadapter_vit-b_k400'))
        steps = dict(train_dataloader=cfg.train_dataloader, test_dataloader=cfg.test_dataloader)
        other = Config(deepcopy(steps))
        other.merge_from_dict({'clip_len': 16})
        assert [step.clip_len for step in other.test_dataloader.dataset.pipeline[1:2]] == [16]

    def test_in_python_before_a_runner_is_built(self, recipe, monkeypatch):
        recipe.clip_len, recipe.work_dir = 16, 'unused'
        assert of(prepare(recipe)[0]) == [16] * 3
        seen = []
        monkeypatch.setattr(Runner, '__init__', lambda self, **cfg: seen.append(cfg['cfg']))
        monkeypatch.setattr('mmstadapter.checks.check_built', lambda *_: None)
        monkeypatch.setattr(Runner, 'model', None, raising=False)
        Runner.from_cfg(recipe)
        assert of(seen[0]) == [16] * 3

    def test_a_model_with_a_table_of_time_positions_follows(self, read):
        cfg = read(base('timesformer_vit-b_k400') + 'clip_len = 16\n')
        assert cfg.model.backbone.num_frames == 16
        assert read(base('clip4clip_vit-b32_didemo_32f')).model.num_frames == 32

    def test_in_python_before_a_model_is_created(self, recipe):
        recipe.clip_len = 16
        assert of(config_of(recipe)[1]) == [16] * 3
        changed = creating._changed(config_of(recipe)[1], dict(frame_interval=4, num_views=1))
        assert of(changed, 'frame_interval') == [4] * 3

    def test_helpers_that_the_steps_were_made_from_say_the_same(self, recipe):
        recipe.merge_from_dict({'clip_len': 16})
        assert [s.clip_len for s in recipe.train_pipeline if 'clip_len' in s] == [16]

    def test_the_config_of_a_run_says_it_and_can_be_changed_again(self, read, tmp_path):
        cfg, _ = prepare(read(base('stadapter_vit-b_k400') + 'clip_len = 16\n'))
        for suffix in ('py', 'yml', 'json'):
            cfg.dump(str(tmp_path / f'dumped.{suffix}'))
            again = Config.fromfile(tmp_path / f'dumped.{suffix}')
            assert (again.clip_len, of(again)) == (16, [16] * 3)
            again.merge_from_dict({'clip_len': 4})
            assert of(again) == [4] * 3


class TestAValueOfItsOwn:
    """A place that is given another value keeps it."""

    SET = '_base_.test_dataloader.dataset.pipeline[1].clip_len = {}\n'

    @pytest.mark.parametrize('value', [8, 32])
    def test_in_the_file_that_sets_the_field(self, read, value):
        cfg = read(base('stadapter_vit-b_k400') + self.SET.format(value) + 'clip_len = 16\n')
        assert of(cfg) == [16, 16, value]

    def test_in_a_file_that_does_not(self, read):
        cfg = read(base('stadapter_vit-b_k400_16f') + self.SET.format(8))
        assert of(cfg) == [16, 16, 8]
        cfg.merge_from_dict({'clip_len': 4})
        assert of(cfg) == [4, 4, 8]

    def test_by_name_beside_the_field(self, recipe):
        recipe.merge_from_dict({'test_dataloader.dataset.pipeline.1.clip_len': 8, 'clip_len': 16})
        assert of(recipe) == [16, 16, 8]

    def test_is_told_in_the_log(self, read):
        _, notes = prepare(read(base('stadapter_vit-b_k400_16f') + self.SET.format(8)))
        assert notes == [
            'clip_len is 16, but a value of its own has '
            'test_dataloader.dataset.pipeline.1.clip_len: 8.'
        ]

    def test_survives_the_config_that_a_run_writes(self, read, tmp_path):
        read(base('stadapter_vit-b_k400_16f') + self.SET.format(8)).dump(str(tmp_path / 'd.py'))
        assert of(Config.fromfile(tmp_path / 'd.py')) == [16, 16, 8]

    def test_validation_of_one_square_stays_when_the_test_has_other_crops(self, read):
        cfg = read(base('side4video_vit-b_k400'))
        assert (of(cfg, 'num_views'), of(cfg, 'num_crops')) == ([None, None, 4], [None, 1, 3])
        cfg.merge_from_dict({'num_views': 1, 'num_crops': 2})
        assert (of(cfg, 'num_views'), of(cfg, 'num_crops')) == ([None, None, 1], [None, 1, 2])


def test_a_field_that_no_step_follows_is_refused(read):
    loader = 'test_dataloader = dict(dataset=dict(type="mmstadapter.VideoDataset", pipeline={}))\n'
    steps = "[dict(type='SampleFrames', clip_len=4), dict(type='SampleFrames', clip_len=8)]"
    cfg = read("default_scope = 'mmaction'\n" + loader.format(steps))
    cfg.merge_from_dict({'clip_len': 16})
    with pytest.raises(ConfigError, match=r'clip_len: nothing reads .*Set test_dataloader'):
        prepare(cfg)


def test_where_all_steps_have_values_of_their_own_the_log_says_so(recipe):
    for kind, frames in zip(LOADERS, (4, 4, 2), strict=True):
        recipe[f'{kind}_dataloader'].dataset.pipeline[1].clip_len = frames
    recipe.clip_len = 16
    assert of(recipe) == [4, 4, 2]
    assert 'test_dataloader.dataset.pipeline.1.clip_len: 2' in prepare(recipe)[1][0]


def test_steps_that_are_all_set_by_their_places_set_the_field(read):
    edit = '_base_.{}_dataloader.dataset.pipeline[1].clip_len = 16\n'
    cfg = read(base('timesformer_vit-b_k400') + ''.join(map(edit.format, LOADERS)))
    assert (cfg.clip_len, of(cfg), cfg.model.backbone.num_frames) == (16, [16] * 3, 16)
    assert prepare(cfg)[1] == []


class TestStepsByTheirNames:
    LINE = 'test_dataloader = dict(dataset=dict(steps=dict({})))\n'

    def test_in_a_config(self, read):
        changes = 'SpatialViews=dict(size=336, num_crops=2)'
        cfg = read(base('stadapter_vit-b_k400') + self.LINE.format(changes))
        assert of(cfg, 'num_crops') == [None, 1, 2]
        assert [s.size for s in cfg.test_dataloader.dataset.pipeline if 'size' in s] == [224, 336]
        assert 'steps' not in cfg.test_dataloader.dataset

    def test_by_name(self, recipe):
        recipe.merge_from_dict({'train_dataloader.dataset.steps.Flip.flip_ratio': 0.25})
        assert of(recipe, 'flip_ratio') == [0.25, None, None]
        assert prepare(recipe)[1] == []

    def test_a_step_that_is_not_there_is_refused_with_those_that_are(self, read):
        with pytest.raises(
            ValueError, match=r'test_dataloader.dataset.steps: .* one step Resize, it has'
        ):
            read(base('stadapter_vit-b_k400') + self.LINE.format('Resize=dict(size=336)'))


def test_an_impossible_value_is_refused(recipe):
    recipe.merge_from_dict({'clip_len': 0})
    with pytest.raises(ConfigError, match=r'train_dataloader.*clip_len: must be a whole number'):
        prepare(recipe)


def test_configs_without_a_part_of_ours_are_left_alone(read):
    step = "dict(type='SampleFrames', clip_len={}, frame_interval=4)"
    loader = 'train_dataloader = dict(dataset=dict(pipeline=[{}]))\n'
    read('clip_len = 8\n' + loader.format(step.format('clip_len')), 'parent.py')
    cfg = read("_base_ = 'parent.py'\nclip_len = 16\n")
    assert cfg.train_dataloader.dataset.pipeline[0].clip_len == 8


def test_a_split_is_chosen_at_every_door(read):
    cfg = read(base('stadapter_vit-b_ucf101') + 'split = 2\n')
    ready, _ = prepare(cfg)
    files = [ready[f'{kind}_dataloader'].dataset.ann_file for kind in LOADERS]
    assert all('_split_2_' in file for file in files) and ready.split == 2


class TestBaseClasses:
    def places(self, cfg: Config) -> list:
        parts = (cfg.model.cls_head, cfg.train_dataloader.dataset)
        return [part.base_classes for part in (*parts, cfg.val_evaluator, cfg.test_evaluator)]

    @pytest.mark.parametrize('recipe', ['text_vit-b-novel_k400', 'text_vit-b-novel_ucf101'])
    def test_one_field_sets_head_data_and_metric(self, recipe, read):
        assert self.places(read(base(recipe))) == ['half'] * 4
        inherited = read(base(recipe) + 'base_classes = [0, 2, 5]\n')
        assert self.places(inherited) == [[0, 2, 5]] * 4
        by_name = read(base(recipe))
        by_name.merge_from_dict(parse_options(['base_classes=[0,3]']))
        assert self.places(by_name) == [[0, 3]] * 4
        by_name.base_classes = 'half'
        assert self.places(prepare(by_name)[0]) == ['half'] * 4

    def test_it_is_written_out_and_read_again(self, read, tmp_path):
        cfg = read(base('text_vit-b-novel_k400') + 'base_classes = [0, 2, 5]\n')
        for name in ('again.py', 'again.yaml'):
            cfg.dump(tmp_path / name)
            assert self.places(Config.fromfile(tmp_path / name)) == [[0, 2, 5]] * 4

    def test_a_place_with_classes_of_its_own_keeps_them(self, read):
        own = 'train_dataloader = dict(dataset=dict(base_classes=[1]))\n'
        cfg = read(base('text_vit-b-novel_k400') + 'base_classes = [0, 2]\n' + own)
        assert self.places(cfg) == [[0, 2], [1], [0, 2], [0, 2]]

    def test_where_no_place_has_it_it_is_refused(self, read):
        cfg = read(base('zeroshot_vit-b_k400'))
        cfg.merge_from_dict(dict(base_classes='half'))
        with pytest.raises(ConfigError, match='base_classes: nothing reads this field'):
            prepare(cfg)


class TestPixels:
    def test_one_field_sends_whole_grey_levels_from_all_loaders(self, read):
        cfg = read(base('stadapter_vit-b_k400') + "pixels = 'uint8'\n")
        assert of(cfg, 'pixels') == ['uint8'] * 3
        assert of(prepare(cfg)[0], 'pixels') == ['uint8'] * 3

    def test_it_can_be_taken_back(self, read):
        cfg = read(base('stadapter_vit-b_k400') + "pixels = 'uint8'\n")
        cfg.merge_from_dict(dict(pixels='float32'))
        assert of(cfg, 'pixels') == ['float32'] * 3

    def test_a_step_that_says_another_keeps_it(self, read):
        dataset = "dict(steps=dict(ResizeShortSide=dict(pixels='float32')))"
        lines = f"pixels = 'uint8'\ntest_dataloader = dict(dataset={dataset})\n"
        cfg = read(base('stadapter_vit-b_k400') + lines)
        assert of(cfg, 'pixels') == ['uint8', 'uint8', 'float32']

    def test_the_config_in_the_work_dir_says_it(self, read, tmp_path):
        cfg = read(base('stadapter_vit-b_k400') + "pixels = 'uint8'\n")
        cfg.dump(tmp_path / 'dumped.py')
        assert of(Config.fromfile(tmp_path / 'dumped.py'), 'pixels') == ['uint8'] * 3
