"""Names at the top level of a config that nothing reads are told from helpers that are used."""

import pytest


@pytest.mark.parametrize(
    ('line', 'meant'),
    [
        ('train_dataloder = dict(batch_size=2)', 'train_dataloader'),
        ('trian_cfg = dict(max_epochs=3)', 'train_cfg'),
        ('optim_wraper = dict(clip_grad=None)', 'optim_wrapper'),
        ('param_schedulers = []', 'param_scheduler'),
        ('custom_hook = []', 'custom_hooks'),
        ('val_evalutor = dict(prefix="x")', 'val_evaluator'),
        ('loadfrom = "x.pth"', 'load_from'),
        ('randomnes = dict(seed=1)', 'randomness'),
        ('optimizer = dict(type="SGD", lr=0.1)', 'optim_wrapper.optimizer'),
        ('total_epochs = 3', 'train_cfg.max_epochs'),
        ('max_epochs = 3', 'train_cfg.max_epochs'),
        ('batch_size = 4', 'train_dataloader.batch_size'),
        ('lr = 0.1', 'optim_wrapper.optimizer.lr'),
    ],
)
def test_a_name_that_nothing_reads_is_refused_with_the_one_that_is_read(complaint, line, meant):
    said = complaint(line)
    assert line.split()[0] in said and meant in said.replace(f'  {line.split()[0]}', '')


@pytest.mark.parametrize(
    ('key', 'name', 'meant'),
    [
        ('trian_cfg__max_epochs', 'trian_cfg: ', 'Did you mean train_cfg?'),
        ('clip_length', 'clip_length: ', 'Set train_dataloader.dataset.pipeline.1.clip_len'),
        ('clip_length', 'clip_length: ', 'Did you mean clip_len?'),
        ('num_crops', 'num_crops: ', 'nothing reads this field'),
        ('train_dataloader__batchsize', 'train_dataloader.batchsize: ', 'batch_size'),
    ],
)
def test_so_is_one_that_is_set_by_name(complaint, key, name, meant):
    said = complaint(**{key: 3})
    assert name in said and meant in said


def test_a_helper_set_by_name_is_refused_with_the_place_that_was_made_from_it(complaint):
    assert 'model.backbone.trunk' in complaint(trunk__arch='vit-b-p16')
    assert 'train_dataloader.dataset.data_root' in complaint(data_root='elsewhere')


def test_an_inherited_helper_with_another_value_that_nothing_uses_is_refused(complaint):
    assert 'keeps the old one' in complaint("train_pipeline = [dict(type='PackActionInputs')]")
    assert 'model.backbone.trunk' in complaint("trunk = dict(checkpoint='mine.safetensors')")


def test_helpers_that_are_used_pass(complaint):
    lines = """
import os
from pathlib import Path
home = Path.home
clip_len, frame_interval = 8, 3
steps = [dict(type='SampleFrames', clip_len=clip_len, frame_interval=frame_interval)]
data = dict(pipeline=[_base_.train_pipeline[0], *steps, *_base_.train_pipeline[2:]])
optimizer = dict(type='AdamW', lr=os.cpu_count() * 1e-4)
train_dataloader = dict(dataset=data)
optim_wrapper = dict(optimizer=optimizer)
small = lambda steps: list(steps)
"""
    assert complaint(lines) == ''


def test_helpers_that_are_read_through_the_base_or_a_placeholder_pass(complaint, tmp_path):
    (tmp_path / 'base.py').write_text(
        "_base_ = 'mmstadapter::stadapter_vit-tiny_demo-motion.py'\nroot, lists = 'a', 'b.txt'\n"
    )
    from mmengine.config import Config

    from mmstadapter.checks import prepare

    child = tmp_path / 'child.py'
    child.write_text(
        "_base_ = 'base.py'\n"
        "mine = dict(data_root=_base_.root, ann_file='{{_base_.lists}}')\n"
        'train_dataloader = dict(dataset=mine)\n'
    )
    assert prepare(Config.fromfile(child))[1] == []


def test_further_names_that_nothing_uses_are_noted_in_the_log(notes):
    assert 'reads my_note' in notes("my_note = 'first try'")
    assert notes() == ''


def test_a_config_that_is_read_from_a_dumped_one_passes(written, tmp_path):
    from mmengine.config import Config

    from mmstadapter.checks import prepare

    written().dump(tmp_path / 'dumped.py')
    prepare(Config.fromfile(tmp_path / 'dumped.py'))
