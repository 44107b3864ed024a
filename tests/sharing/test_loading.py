"""A name is enough, wherever an adapter file is taken; what is wrong with it is said."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

import mmstadapter
from mmstadapter import create_model, from_pretrained, save_pretrained
from mmstadapter.apis.building import build_model
from mmstadapter.apis.stored_config import stored_config
from mmstadapter.commands import predict
from mmstadapter.engine.checkpoint_files import load_from_local
from mmstadapter.engine.tuned_checkpoint import read_adapter
from mmstadapter.search.building import build
from mmstadapter.testing import toy_clips

from .conftest import LABELS, REVISION, recipe

CLIPS = toy_clips(num_frames=8)


@pytest.fixture(scope='module')
def saved_once(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp('once') / 'saved'
    return save_pretrained(home / 'adapter.safetensors', folder, include_trunk=True)


@pytest.fixture
def saved(saved_once, tmp_path):
    return shutil.copytree(saved_once, tmp_path / 'saved')


@pytest.fixture
def named(saved, hub):
    """hf:me/toy is in the cache of the hub, which is offline; its folder there."""
    return hub('me/toy', saved)


class TestFromPretrained:
    def test_a_repository_in_the_cache(self, named, model):
        again = from_pretrained('hf:me/toy')
        assert torch.equal(again(CLIPS), model(CLIPS)) and again.labels == LABELS

    @pytest.mark.parametrize('revision', ['main', REVISION])
    def test_at_a_revision(self, named, model, revision):
        for found in (
            from_pretrained('hf:me/toy', revision=revision),
            from_pretrained(f'hf:me/toy@{revision}'),
        ):
            assert torch.equal(found(CLIPS), model(CLIPS))

    def test_one_that_is_not_there(self, named):
        with pytest.raises(RuntimeError, match=r'hf:me/none: none of adapter\.safetensors is'):
            from_pretrained('hf:me/none')
        with pytest.raises(RuntimeError, match=r'hf:me/toy: none of'):
            from_pretrained('hf:me/toy', revision='d' * 40)
        with pytest.raises(ValueError, match='names a revision, and so does main'):
            from_pretrained('hf:me/toy@main', revision='main')

    @pytest.mark.parametrize('name', ['hf:toy', 'hf:', 'hf:/toy'])
    def test_a_name_of_another_form(self, named, name):
        with pytest.raises(ValueError, match='must be hf:OWNER/NAME'):
            from_pretrained(name)

    def test_without_the_prefix_it_is_a_folder(self, saved, tmp_path, monkeypatch):
        with pytest.raises(FileNotFoundError, match=r'no folder me/toy\. .* hf:OWNER/NAME'):
            from_pretrained('me/toy')
        monkeypatch.chdir(tmp_path)
        assert from_pretrained('saved').labels == LABELS
        with pytest.raises(ValueError, match='is a folder and has no revision'):
            from_pretrained('saved', revision='main')

    def test_without_the_library_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
        with pytest.raises(RuntimeError, match=r"pip install 'mmstadapter\[hub\]'"):
            from_pretrained('hf:me/toy')

    @pytest.mark.parametrize('lost', ['adapter.safetensors', 'config.json'])
    def test_half_a_model(self, saved, lost):
        (saved / lost).unlink()
        with pytest.raises(FileNotFoundError, match=rf'lacks {lost}'):
            from_pretrained(saved)

    def test_a_config_of_something_else(self, saved):
        (saved / 'config.json').write_text('{"model_type": "clip"}')
        with pytest.raises(ValueError, match='is not of a model of mmstadapter'):
            from_pretrained(saved)
        (saved / 'config.json').write_text('{')
        with pytest.raises(ValueError, match=r'config\.json: is no JSON'):
            from_pretrained(saved)

    def test_a_config_that_was_edited_alone(self, saved):
        about = json.loads((saved / 'config.json').read_text())
        about['config']['model']['backbone']['bottleneck_dims'] = 16
        (saved / 'config.json').write_text(json.dumps(about))
        with pytest.raises(ValueError, match='do not belong together, they differ in config'):
            from_pretrained(saved)

    def test_damage_is_told(self, saved):
        content = bytearray((saved / 'adapter.safetensors').read_bytes())
        content[-7] ^= 1
        (saved / 'adapter.safetensors').write_bytes(content)
        with pytest.raises(ValueError, match='its tensors are not those that were written'):
            from_pretrained(saved)

    def test_code_beside_it_is_not_run_and_is_named(self, saved, model, tmp_path):
        code = f'import pathlib; pathlib.Path({str(tmp_path / "ran")!r}).touch()'
        for name in ('modeling.py', '__init__.py', 'conftest.py'):
            (saved / name).write_text(code)
        (saved / 'pytorch_model.bin').write_bytes(b'\x80\x04K\x01.')
        said = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                'mmstadapter.sharing.loading.print_log', lambda text, *_: said.append(text)
            )
            assert torch.equal(from_pretrained(saved)(CLIPS), model(CLIPS))
        assert not (tmp_path / 'ran').exists()
        assert [text.split()[1] for text in said] == [
            '__init__.py', 'conftest.py', 'modeling.py', 'pytorch_model.bin',
        ]  # fmt: skip

    def test_a_config_that_names_code_is_refused(self, saved):
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file

        path = saved / 'adapter.safetensors'
        with safe_open(path, 'pt') as file:
            header, tensors = file.metadata(), load_file(path)
        config, about = (
            json.loads(header['config']),
            json.loads((saved / 'config.json').read_text()),
        )
        config['model']['backbone']['type'] = 'antigravity.fly'
        save_file(tensors, path, header | dict(config=json.dumps(config)))
        (saved / 'config.json').write_text(json.dumps(about | dict(config=config)))
        with pytest.raises(ValueError, match=r'antigravity\.fly.*no registered'):
            from_pretrained(saved)
        assert 'antigravity' not in sys.modules


class TestEveryDoorTakesTheName:
    def test_predictor_and_its_command(self, named, tmp_path, capsys):
        for name in ('hf:me/toy', named):
            predictor = mmstadapter.Predictor(name, device='cpu')
            assert predictor.labels == LABELS
        (tmp_path / 'no.mp4').write_text('no video')
        with pytest.raises(SystemExit) as end:
            predict.main(['hf:me/toy', str(tmp_path / 'no.mp4')])
        assert end.value.code == 1 and 'no.mp4: ' in capsys.readouterr().out

    def test_create_model_begins_from_it(self, named, model, file):
        for name in ('hf:me/toy', named):
            found = create_model(recipe(file), checkpoint=name)
            assert torch.equal(found(CLIPS), model(CLIPS))

    def test_a_repository_of_an_image_model_still_is_a_trunk(self, hub, file, tmp_path):
        folder = tmp_path / 'clip'
        folder.mkdir()
        shutil.copy(file, folder / 'model.safetensors')
        hub('me/clip', folder)
        made = create_model(recipe('gone.safetensors'), checkpoint='hf:me/clip')
        assert made.backbone.trunk.source == 'pretrained'

    def test_mmengines_runner_as_in_mim_test(self, named, model, saved):
        loaded = load_from_local('hf:me/toy')['state_dict']
        assert loaded.keys() == read_adapter(saved)[0].keys()
        stored, _ = stored_config(read_adapter('hf:me/toy')[1], 'hf:me/toy')
        built = build_model(stored, 'hf:me/toy')
        found = built(CLIPS[:, None], mode='tensor')
        assert torch.equal(built.cls_head(found), model(CLIPS))

    def test_search(self, retriever, hub, tmp_path):
        hub('me/search', save_pretrained(retriever, tmp_path / 'out', include_trunk=True))
        stored, _ = stored_config(read_adapter('hf:me/search')[1], 'hf:me/search')
        built = build(stored, 'hf:me/search', 'x', captions_only=True)
        found, expected = (m.encode_captions(['a cat jumps']) for m in (built, retriever))
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_its_transform_makes_the_clips_that_it_was_tested_with(saved, model):
    frames = np.random.default_rng(0).integers(0, 255, (130, 40, 60, 3), np.uint8)
    again = from_pretrained(saved)
    assert torch.equal(again.transform(frames), model.transform(frames))
