"""Adapter files travel: readable by all, found again with their trunk, damage told, nothing run."""

import json
import os
import shutil
import sys

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmstadapter.apis.adapter_model import read_model
from mmstadapter.commands.predict import describe
from mmstadapter.engine.tuned_checkpoint import read_adapter, write_adapter
from mmstadapter.testing import fill, tiny_trunk, write_clip_file
from mmstadapter.weights import SHA256, fetch

PIPELINE = [dict(type='mmstadapter.VideoInit'), dict(type='PackActionInputs')]


def config(trunk_file) -> Config:
    """Of a tiny recogniser."""
    trunk = tiny_trunk(checkpoint=trunk_file and str(trunk_file))
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=8)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=2)
    model = dict(type='Recognizer3D', backbone=backbone, cls_head=head)
    return Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))


@pytest.fixture
def home(tmp_path):
    """Where it was trained: trunk/clip.safetensors and out/adapter.safetensors."""
    home = tmp_path / 'home'
    for name in ('trunk', 'out'):
        (home / name).mkdir(parents=True)
    made = config(write_clip_file(home / 'trunk/clip.safetensors', seed=4))
    write_adapter(home / 'out/adapter.safetensors', trained(made), made, labels=['a', 'b'])
    return home


def trained(made: Config) -> torch.nn.Module:
    model = MODELS.build(made.model)
    model.init_weights()
    fill(model.cls_head, seed=2)
    return model


def changed(source, target, **metadata):
    """The file with other metadata."""
    with safe_open(source, 'pt') as file:
        header = file.metadata() | metadata
    save_file(load_file(source), target, header)
    return target


class TestWriting:
    def test_the_file_may_be_read_by_whom_the_umask_lets(self, home):
        before = os.umask(0o022)
        try:
            made = config(home / 'trunk/clip.safetensors')
            write_adapter(home / 'new.safetensors', trained(made), made)
        finally:
            os.umask(before)
        assert (home / 'new.safetensors').stat().st_mode & 0o777 == 0o644

    def test_weights_that_are_not_numbers_are_not_written(self, home):
        made = config(home / 'trunk/clip.safetensors')
        model = trained(made)
        model.cls_head.fc_cls.weight.data[0, 0] = float('nan')
        with pytest.raises(ValueError, match=r'x\.safetensors: weights must be .* cls_head'):
            write_adapter(home / 'x.safetensors', model, made)
        assert not (home / 'x.safetensors').exists()

    def test_a_relative_trunk_is_found_from_everywhere(self, home, monkeypatch):
        monkeypatch.chdir(home / 'trunk')
        made = config('clip.safetensors')
        write_adapter('../out/b.safetensors', trained(made), made)
        monkeypatch.chdir(home)
        assert read_model('out/b.safetensors').model.backbone.trunk.source == 'pretrained'

    def test_a_published_trunk_is_stored_by_its_name(self, home, monkeypatch):
        file = shutil.copy(home / 'trunk/clip.safetensors', home / 'Published.pt')
        digest = fetch._sha256.__wrapped__(file, 0, 0)
        monkeypatch.setitem(fetch.KNOWN, 'me/P', fetch.Known('http://x/Published.pt', digest))
        made = config(file)
        write_adapter(home / 'b.safetensors', trained(made), made)
        assert read_adapter(home / 'b.safetensors')[1]['trunk']['checkpoint'] == 'me/P'


class TestTravelling:
    def test_the_whole_folder_may_move(self, home, tmp_path):
        home.rename(tmp_path / 'elsewhere')
        made = read_model(tmp_path / 'elsewhere/out/adapter.safetensors')
        assert made.config['backbone']['trunk']['checkpoint'].endswith('trunk/clip.safetensors')

    def test_a_trunk_beside_the_adapter_is_known_by_its_weights(self, home, tmp_path):
        there = tmp_path / 'there'
        there.mkdir()
        shutil.move(home / 'out/adapter.safetensors', there)
        shutil.move(home / 'trunk/clip.safetensors', there / 'any name')
        write_clip_file(there / 'a.safetensors', seed=9)  # another trunk
        (there / 'notes.txt').write_text('not weights')
        made = read_model(there / 'adapter.safetensors')
        assert made.config['backbone']['trunk']['checkpoint'] == str(there / 'any name')

    def test_one_that_is_nowhere_is_asked_for(self, home):
        (home / 'trunk/clip.safetensors').unlink()
        with pytest.raises(FileNotFoundError, match='not where it was.*--checkpoint'):
            read_model(home / 'out/adapter.safetensors')

    def test_a_trunk_that_is_given_is_taken(self, home, tmp_path):
        moved = shutil.move(home / 'trunk/clip.safetensors', tmp_path / 'moved')
        made = read_model(home / 'out/adapter.safetensors', moved)
        assert made.model.backbone.trunk.source == 'pretrained'


class TestDamage:
    def test_one_flipped_bit_is_told(self, home):
        path = home / 'out/adapter.safetensors'
        content = bytearray(path.read_bytes())
        content[-7] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'adapter\.safetensors: its tensors are not those'):
            read_model(path)

    def test_the_doors_of_mmengine_tell_it_too(self, home):
        path = home / 'out/adapter.safetensors'
        content = bytearray(path.read_bytes())
        content[-7] ^= 1
        path.write_bytes(content)
        model = MODELS.build(config(home / 'trunk/clip.safetensors').model)
        with pytest.raises(ValueError, match=r'adapter\.safetensors: its tensors are not those'):
            load_checkpoint(model, str(path), strict=True)

    def test_files_of_older_versions_have_no_checksum_and_are_read(self, home):
        source, old = home / 'out/adapter.safetensors', home / 'out/old.safetensors'
        with safe_open(source, 'pt') as file:
            header = {k: v for k, v in file.metadata().items() if k != SHA256}
        save_file(load_file(source), old, header)
        assert read_model(old).header['labels'] == ['a', 'b']

    @pytest.mark.parametrize('value', ['{', '[' * 100_000, '3'])
    def test_damaged_metadata_are_named(self, home, value):
        path = changed(home / 'out/adapter.safetensors', home / 'x.safetensors', config=value)
        with pytest.raises(ValueError, match=r'x\.safetensors: its (metadata|config)'):
            read_adapter(path)

    def test_names_of_a_compiled_model_are_understood(self, home):
        source, path = home / 'out/adapter.safetensors', home / 'x.safetensors'
        with safe_open(source, 'pt') as file:
            header = {k: v for k, v in file.metadata().items() if k != SHA256}
        save_file({f'_orig_mod.{n}': t for n, t in load_file(source).items()}, path, header)
        assert read_adapter(path)[0].keys() == load_file(source).keys()


class TestNothingIsLoadedBesides:
    def with_config(self, home, change):
        path = home / 'out/adapter.safetensors'
        stored = read_adapter(path)[1]['config']
        change(stored)
        return changed(path, home / 'x.safetensors', config=json.dumps(stored))

    @pytest.mark.parametrize(
        'key, value',
        [
            ('options', dict(checkpoint_path='evil.pth')),
            ('options', dict(pretrained_cfg=dict(file='evil.bin'))),
            ('options', dict(pretrained_cfg_overlay=dict(url='http://evil'))),
            ('options', dict(cache_dir='/tmp/evil')),
            ('options', dict(anything='/etc/evil')),
            ('options', dict(anything='hf-hub:evil/evil')),
            ('vit', dict(init_cfg=dict(type='Pretrained', checkpoint='evil.pth'))),
            ('load_from', 'evil.pth'),
            ('custom_imports', dict(imports=['antigravity'])),
            ('label_file', 'evil.txt'),
            ('checkpoint', ['a']),
        ],
    )
    def test_options_that_name_files_or_code_are_refused(self, home, key, value):
        path = self.with_config(
            home, lambda c: c['model']['backbone']['trunk'].update({key: value})
        )
        with pytest.raises(ValueError, match=r'x\.safetensors: model\.backbone.* other files'):
            read_model(path)

    def test_a_checkpoint_of_a_part_that_is_none_of_ours(self, home):
        path = self.with_config(home, lambda c: c['model']['cls_head'].update(checkpoint='a.pth'))
        with pytest.raises(ValueError, match=r'model\.cls_head\.checkpoint'):
            read_model(path)

    def test_a_type_after_its_checkpoint_is_not_followed(self, home):
        evil = dict(checkpoint='a.pth', type='antigravity.fly')
        path = self.with_config(home, lambda c: c['model'].update(evil=evil))
        with pytest.raises(ValueError, match=r'model\.evil'):
            read_model(path)
        assert 'antigravity' not in sys.modules

    def test_the_imports_of_its_config_are_not_followed(self, home):
        path = self.with_config(
            home, lambda c: c.update(custom_imports=dict(imports=['antigravity']))
        )
        read_model(path)
        assert 'antigravity' not in sys.modules

    @pytest.mark.parametrize('backbone', [None, 3, {}, dict(trunk=3)])
    def test_a_model_without_a_trunk_is_none(self, home, backbone):
        path = self.with_config(home, lambda c: c['model'].update(backbone=backbone))
        with pytest.raises(ValueError, match=r'x\.safetensors'):
            read_model(path)


def test_a_pipeline_is_checked_as_well(home):
    stored = read_adapter(home / 'out/adapter.safetensors')[1]['config']
    stored['test_dataloader']['dataset']['pipeline'][0]['backend_path'] = 'evil'
    path = changed(
        home / 'out/adapter.safetensors', home / 'x.safetensors', config=json.dumps(stored)
    )
    with pytest.raises(ValueError, match=r'pipeline\[0\]\.backend_path'):
        read_model(path)


def test_what_predict_prints_commands_no_terminal():
    best = 'b\x1b]0;x\x07'
    entry = dict(video='a\x1b[2J\n.mp4', label=best, labels=[best, 'c'], scores=[0.9, 0.1])
    line = describe(entry)
    assert line == r'a\x1b[2J\n.mp4: b\x1b]0;x\x07 0.900, c 0.100'
    assert describe(entry | dict(error='no\x1b[1mvideo')).endswith(r': no\x1b[1mvideo')


@pytest.mark.parametrize('dora', [False, True], ids=['lora', 'dora'])
def test_an_adapter_file_with_lora_inside_the_trunk_gives_the_model_back(home, dora):
    pytest.importorskip('peft', reason='peft is not installed')
    made = config(home / 'trunk/clip.safetensors')
    made.model.backbone.trunk.lora = dict(r=2, dora=dora)
    model = trained(made)
    for name, parameter in model.named_parameters():
        if '.lora_' in name:
            torch.nn.init.normal_(parameter, mean=float('magnitude' in name), std=0.1)
    write_adapter(home / 'out/lora.safetensors', model, made, labels=['a', 'b'])
    stored = load_file(home / 'out/lora.safetensors')
    assert any('.lora_A.' in name for name in stored)
    assert not any('base_layer' in name or name.endswith('in_proj_weight') for name in stored)
    again = read_model(home / 'out/lora.safetensors').model
    clips = torch.randn(1, 1, 3, 4, 32, 32)
    with torch.no_grad():
        expected = model.eval()(clips, mode='tensor')
        assert torch.equal(again.eval()(clips, mode='tensor'), expected)
