"""A model becomes a folder that anybody can use: whole, private to nobody's machine, all data."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from mmstadapter import create_model, from_pretrained, save_pretrained
from mmstadapter.engine.tuned_checkpoint import read_adapter
from mmstadapter.sharing import folder as folders
from mmstadapter.testing import TINY_ARCH, tiny_trunk, toy_clips, write_clip_file
from mmstadapter.weights import fetch

from .conftest import LABELS, recipe, tuned

FILES = {'README.md', 'adapter.safetensors', 'config.json'}


@pytest.fixture
def published(file, tmp_path, monkeypatch):
    """The tiny CLIP as a file that everybody can fetch, me/CLIP."""
    path = tmp_path / 'cache/CLIP.pt'
    path.parent.mkdir()
    shutil.copy(file, path)
    digest = fetch._sha256.__wrapped__(path, 0, 0)
    monkeypatch.setitem(fetch.KNOWN, 'me/CLIP', fetch.Known('http://127.0.0.1:9/CLIP.pt', digest))
    monkeypatch.setenv('MMSTADAPTER_CACHE', str(path.parent))
    return str(path)


class TestWhatIsWritten:
    def test_an_adapter_its_config_and_a_card_and_the_model_comes_back(
        self, adapter, model, tmp_path
    ):
        folder = save_pretrained(adapter, tmp_path / 'out', include_trunk=True)
        assert {path.name for path in folder.iterdir()} == FILES
        again, clips = from_pretrained(folder), toy_clips(num_frames=8)
        assert torch.equal(again(clips), model(clips)) and again.labels == LABELS
        assert not again.training and again.transform.size == (32, 32)

    def test_nothing_tells_of_this_machine(self, adapter, home, tmp_path):
        folder = save_pretrained(adapter, tmp_path / 'out', trunk='clip.safetensors')
        for path in folder.iterdir():
            assert all(str(x).encode() not in path.read_bytes() for x in (home, tmp_path)), path

    def test_the_config_is_that_of_the_adapter_file_and_to_read(self, adapter, tmp_path):
        folder = save_pretrained(adapter, tmp_path / 'out', include_trunk=True)
        found, (_, header) = json.loads((folder / 'config.json').read_text()), read_adapter(folder)
        assert found['config'] == header['config'] and found['labels'] == LABELS
        assert found['config']['model']['backbone']['type'] == 'mmstadapter.STAdapterViT'
        assert 'train_dataloader' not in found['config']  # whose lists are of one machine

    def test_a_model_in_memory_is_shared_as_it_is(self, model, tmp_path):
        folder = save_pretrained(model, tmp_path / 'out', labels=LABELS, include_trunk=True)
        clips = toy_clips(num_frames=8)
        assert torch.equal(from_pretrained(folder)(clips), model(clips))
        assert model.backbone.trunk.source == 'pretrained'  # untouched

    def test_what_was_loaded_is_saved_again(self, adapter, tmp_path):
        first = save_pretrained(adapter, tmp_path / 'a', include_trunk=True)
        again = save_pretrained(from_pretrained(first), tmp_path / 'b', include_trunk=True)
        assert read_adapter(again)[1]['config'] == read_adapter(first)[1]['config']
        assert read_adapter(again)[1]['labels'] == LABELS

    @pytest.mark.slow
    def test_a_recipes_changes_are_in_the_config(self, file, tmp_path):
        trunk = tiny_trunk(checkpoint=file)
        made = create_model('stadapter_vit-b_k400', num_classes=3, trunk=trunk, bottleneck_dims=4)
        folder = save_pretrained(tuned(made), tmp_path / 'out', include_trunk=True)
        again = from_pretrained(folder)
        assert torch.equal(again(toy_clips()), made(toy_clips()))
        assert again.transform.size == made.transform.size == (32, 32)

    def test_a_retriever_too(self, retriever, tmp_path):
        folder = save_pretrained(retriever, tmp_path / 'out', include_trunk=True)
        again, clips = from_pretrained(folder), toy_clips(num_frames=8)
        texts = ['a cat jumps', 'the dog sleeps']
        for name in ('encode_videos', 'encode_captions'):
            given = clips if name == 'encode_videos' else texts
            found, expected = getattr(again, name)(given), getattr(retriever, name)(given)
            assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert again.transform.num_frames == 8


class TestThePretrainedWeights:
    def test_a_file_of_this_machine_is_asked_about(self, adapter, tmp_path):
        with pytest.raises(ValueError, match=r'nobody else has.*trunk=.*include_trunk=True'):
            save_pretrained(adapter, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()

    def test_a_published_one_is_named(self, published, tmp_path):
        folder = save_pretrained(tuned(create_model(recipe(published))), tmp_path / 'out')
        assert read_adapter(folder)[1]['trunk']['checkpoint'] == 'me/CLIP'
        assert not any('.trunk.conv1' in name for name in read_adapter(folder)[0])

    def test_they_may_be_said_to_be_published(self, published, adapter, tmp_path):
        folder = save_pretrained(adapter, tmp_path / 'out', trunk='me/CLIP')
        assert read_adapter(folder)[1]['trunk']['checkpoint'] == 'me/CLIP'

    def test_unless_they_are_others(self, published, tmp_path):
        other = write_clip_file(tmp_path / 'other.safetensors', seed=9)
        model = tuned(create_model(recipe(other)))
        with pytest.raises(RuntimeError, match='trained on another trunk'):
            save_pretrained(model, tmp_path / 'out', trunk='me/CLIP')
        assert not (tmp_path / 'out').exists()

    def test_a_file_that_others_put_beside_it_is_found_by_its_weights(
        self, adapter, file, model, tmp_path
    ):
        folder = save_pretrained(adapter, tmp_path / 'out', trunk='clip.safetensors')
        with pytest.raises(FileNotFoundError, match='the file of its trunk is not where it was'):
            from_pretrained(folder)
        clips = toy_clips(num_frames=8)
        assert torch.equal(from_pretrained(folder, checkpoint=file)(clips), model(clips))
        shutil.copy(file, folder / 'clip.safetensors')
        assert torch.equal(from_pretrained(folder)(clips), model(clips))

    def test_both_towers_follow_one_file(self, retriever, file, tmp_path):
        folder = save_pretrained(retriever, tmp_path / 'out', trunk='clip.safetensors')
        again = from_pretrained(folder, checkpoint=file)
        found, expected = (m.encode_captions(['a cat jumps']) for m in (again, retriever))
        assert all(torch.equal(found[key], expected[key]) for key in expected)

    def test_another_trunk_is_refused_when_it_is_loaded(self, adapter, tmp_path):
        folder = save_pretrained(adapter, tmp_path / 'out', trunk='clip.safetensors')
        other = write_clip_file(tmp_path / 'other.safetensors', seed=9)
        with pytest.raises(RuntimeError, match='trained on another trunk'):
            from_pretrained(folder, checkpoint=other)


class TestModelsThatCannotBeShared:
    def test_one_with_a_part_that_was_built(self, file, tmp_path):
        trunk = create_model(recipe(file)).backbone.trunk
        made = create_model(recipe(file), trunk=trunk)
        with pytest.raises(ValueError, match=r'backbone\.trunk was given built'):
            save_pretrained(made, tmp_path / 'out')

    def test_one_of_features(self, file, tmp_path):
        made = create_model(recipe(file), num_classes=0)
        with pytest.raises(ValueError, match='no classifier to share'):
            save_pretrained(made, tmp_path / 'out')

    def test_one_without_a_recipe(self, tmp_path):
        with pytest.raises(TypeError, match=r'Linear: only models of mmstadapter\.create_model'):
            save_pretrained(torch.nn.Linear(2, 2), tmp_path / 'out')

    def test_one_whose_trunk_is_random(self, tmp_path):
        made = create_model(recipe(None), pretrained=False)
        with pytest.raises(ValueError, match='did not come from its pretrained file'):
            save_pretrained(made, tmp_path / 'out')
        folder = save_pretrained(made, tmp_path / 'out', include_trunk=True)
        assert torch.equal(from_pretrained(folder)(toy_clips()), made(toy_clips()))

    def test_one_with_another_number_of_labels(self, model, tmp_path):
        with pytest.raises(ValueError, match='labels: 2 names for a model of 3 classes'):
            save_pretrained(model, tmp_path / 'out', labels=['a', 'b'], include_trunk=True)

    def test_weights_that_are_not_numbers(self, model, tmp_path):
        model.cls_head.fc_cls.weight.data[0, 0] = float('nan')
        with pytest.raises(ValueError, match='cls_head'):
            save_pretrained(model, tmp_path / 'out', include_trunk=True)
        assert os.listdir(tmp_path) == []  # and no half of a folder


class TestThePlace:
    def save(self, adapter, folder, **options):
        return save_pretrained(adapter, folder, include_trunk=True, **options)

    def test_an_empty_folder_is_taken_and_a_full_one_is_not(self, adapter, tmp_path):
        (tmp_path / 'out').mkdir()
        self.save(adapter, tmp_path / 'out')
        before = {p.name: p.read_bytes() for p in (tmp_path / 'out').iterdir()}
        with pytest.raises(FileExistsError, match='is there and not empty.*force=True'):
            self.save(adapter, tmp_path / 'out', name='me/other')
        assert {p.name: p.read_bytes() for p in (tmp_path / 'out').iterdir()} == before

    def test_a_shared_model_is_replaced_if_asked(self, adapter, tmp_path):
        self.save(adapter, tmp_path / 'out')
        folder = self.save(adapter, tmp_path / 'out', name='me/other', force=True)
        assert 'me/other' in (folder / 'README.md').read_text()
        assert os.listdir(tmp_path) == ['out']

    def test_a_folder_with_anything_else_never_is(self, adapter, tmp_path):
        (tmp_path / 'home').mkdir()
        (tmp_path / 'home/thesis.tex').write_text('years of work')
        with pytest.raises(FileExistsError, match='home is not replaced'):
            self.save(adapter, tmp_path / 'home', force=True)
        folder = self.save(adapter, tmp_path / 'out')
        (folder / 'train.py').write_text('')
        with pytest.raises(FileExistsError, match=r'holds more than a shared model: train\.py'):
            self.save(adapter, folder, force=True)
        assert (tmp_path / 'home/thesis.tex').is_file() and (folder / 'train.py').is_file()

    @pytest.mark.parametrize('force', [False, True])
    def test_whoever_comes_second_loses_nothing_of_the_first(self, adapter, tmp_path, force):
        """Two processes save into one folder: the other one is done while this one still writes."""
        out = tmp_path / 'out'
        if force:
            self.save(adapter, out)
        with pytest.raises(FileExistsError), folders.placed(out, force) as part:
            (part / 'README.md').write_text('of the second')
            if force:
                shutil.rmtree(out)
            out.mkdir()
            (out / 'theirs.txt').write_text('of the first')
        assert os.listdir(out) == ['theirs.txt']
        assert os.listdir(tmp_path) == ['out']

    def test_what_is_interrupted_leaves_the_old_folder(self, adapter, tmp_path, monkeypatch):
        folder = self.save(adapter, tmp_path / 'out')
        before = (folder / 'README.md').read_bytes()
        rename, calls = Path.rename, []

        def interrupted(path, target):
            calls.append(path)
            if path.suffix == '.part':
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, 'rename', interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.save(adapter, folder, name='me/other', force=True)
        assert len(calls) == 3 and (folder / 'README.md').read_bytes() == before
        assert os.listdir(tmp_path) == ['out']


@pytest.mark.parametrize('name', ['pytorch_model.bin', 'model.py', 'x.safetensors', 'notes.md'])
def test_code_and_pickles_are_known_whatever_they_are_called(tmp_path, name):
    (tmp_path / 'images').mkdir()
    for good in ('README.md', 'LICENSE', 'images/a.PNG', '.gitattributes', 'config.json'):
        (tmp_path / good).write_bytes(b'{"a": 1}')
    assert folders.others(tmp_path) == []
    content = b'import os' if name.endswith('.py') else pickle.dumps(TINY_ARCH)
    (tmp_path / 'images' / name).write_bytes(content)
    assert folders.others(tmp_path) == [f'images/{name}']
