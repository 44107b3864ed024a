"""Our hooks are there whatever a config lists, and can be turned off by name."""

from mmengine.config import Config
from mmengine.runner import Runner

from mmstadapter.checks import prepare
from mmstadapter.checks.hooks import OURS
from mmstadapter.testing import tiny_trunk


def kinds(config: Config) -> list[str]:
    listed = [*config.default_hooks.values(), *config.get('custom_hooks', [])]
    return [hook['type'] for hook in listed if hook]


def test_a_list_of_hooks_of_ones_own_drops_none(written):
    lines = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='acc/top1')]"
    config, notes = prepare(written(lines))
    assert {*OURS.values(), 'EarlyStoppingHook'} <= set(kinds(config)) and notes == []


def test_nor_does_a_whole_dict_of_default_hooks(written):
    config, _ = prepare(
        written("default_hooks = dict(_delete_=True, timer=dict(type='IterTimerHook'))")
    )
    assert set(OURS.values()) < set(kinds(config))


def test_one_that_is_listed_with_options_is_not_doubled(written):
    lines = "custom_hooks = [dict(type='mmstadapter.BadVideoHook', max_bad=3)]"
    config, _ = prepare(written(lines + '\ndefault_hooks = dict(_delete_=True)'))
    assert kinds(config).count('mmstadapter.BadVideoHook') == 1
    assert config.custom_hooks[0].max_bad == 3
    changed, _ = prepare(written('default_hooks = dict(bad_videos=dict(max_bad=4))'))
    assert changed.default_hooks.bad_videos.max_bad == 4


def test_one_is_turned_off_by_name_and_that_is_noted(written):
    config, notes = prepare(written('default_hooks = dict(finite_loss=None)'))
    assert 'mmstadapter.FiniteLossHook' not in kinds(config)
    assert notes == ['default_hooks.finite_loss is turned off.']


def test_every_door_adds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = dict(
        type='Recognizer3D',
        backbone=dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk()),
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=32),
    )
    config = Config(dict(model=model, work_dir='out', custom_hooks=[], default_scope='mmaction'))
    runner = Runner.from_cfg(config)  # as MMAction2's own tools/train.py calls it
    names = {type(hook).__name__ for hook in runner.hooks}
    assert {kind.rpartition('.')[2] for kind in OURS.values()} <= names


def test_a_config_without_our_parts_stays_as_it_is():
    from mmstadapter.checks import has_our_parts

    assert not has_our_parts(dict(model=dict(type='Recognizer2D'), custom_hooks=[]))
    assert has_our_parts(dict(train_dataloader=dict(dataset=dict(type='mmstadapter.VideoDataset'))))
