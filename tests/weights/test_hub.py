"""Weights of Hugging Face: folders, its cache and its repositories, all without a network."""

import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from safetensors.torch import save_file
from torch.testing import assert_close

from mmstadapter.search.settings import what_counts
from mmstadapter.weights import from_ours, load_visual, locate, read_tensors

from ..sharing.conftest import REVISION, cached


@pytest.fixture
def tensors(trunk):
    return from_ours('hf-clip', trunk)


def write(folder: Path, tensors, activation='gelu', name='model.safetensors') -> Path:
    """What ``save_pretrained`` of a CLIP of that activation writes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name)
    config = dict(model_type='clip', vision_config=dict(hidden_act=activation))
    (folder / 'config.json').write_text(json.dumps(config))
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch, tensors):
    """An offline cache that holds laion/toy, a model of GELU; its folder of links."""
    constants = pytest.importorskip('huggingface_hub.constants')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    return cached(tmp_path / 'hub', 'laion/toy', write(tmp_path / 'saved', tensors))


class TestFolders:
    def test_what_save_pretrained_wrote_is_a_source(self, tmp_path, tensors, trunk):
        folder = write(tmp_path / 'saved', tensors)
        assert_close(dict(load_visual(folder, 'gelu')), trunk, rtol=0, atol=0)

    def test_so_is_one_in_shards(self, tmp_path, tensors, trunk):
        folder, names = tmp_path / 'saved', sorted(tensors)
        shards = {'a.safetensors': names[:20], 'b.safetensors': names[20:]}
        for file, held in shards.items():
            write(folder, {n: tensors[n] for n in held}, name=file)
        index = dict(weight_map={n: file for file, held in shards.items() for n in held})
        (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
        assert_close(dict(load_visual(folder, 'gelu')), trunk, rtol=0, atol=0)

    def test_its_activation_is_looked_at(self, tmp_path, tensors):
        with pytest.raises(ValueError, match="trained with the activation 'gelu'"):
            load_visual(write(tmp_path / 'saved', tensors))

    def test_a_folder_without_weights_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='folder without model.safetensors'):
            locate(tmp_path)


class TestCache:
    """A path in the cache is a link to a blob that is named by its digest."""

    @pytest.fixture
    def links(self, tmp_path, tensors):
        return cached(tmp_path / 'hub', 'laion/toy', write(tmp_path / 'saved', tensors))

    def test_the_link_is_read_and_its_neighbours_say_what_it_is(self, links, trunk):
        file = links / 'model.safetensors'
        assert_close(dict(load_visual(file, 'gelu')), trunk, rtol=0, atol=0)
        with pytest.raises(ValueError, match="activation 'gelu'"):
            load_visual(file)

    def test_a_blob_is_known_by_the_link_to_it(self, links):
        blob = (links / 'model.safetensors').resolve()
        assert blob.suffix == '' and read_tensors(blob)
        with pytest.raises(ValueError, match="activation 'gelu'"):
            load_visual(blob)

    def test_search_keeps_the_link(self, links, monkeypatch):
        monkeypatch.chdir(links)
        model = dict(type='x', backbone=dict(checkpoint='model.safetensors'))
        loader = dict(dataset=dict(pipeline=[]))
        whole = Config(dict(model=model, test_dataloader=loader))
        stored = what_counts(whole, 'x')['model']['backbone']['checkpoint']
        assert stored == str(links / 'model.safetensors')


class TestHub:
    def test_a_repository_is_a_source(self, hub, trunk):
        assert_close(dict(load_visual('hf:laion/toy', 'gelu')), trunk, rtol=0, atol=0)
        assert locate('hf:laion/toy') == hub / 'model.safetensors'

    def test_its_activation_is_looked_at(self, hub):
        with pytest.raises(ValueError, match="activation 'gelu'"):
            load_visual('hf:laion/toy')

    @pytest.mark.parametrize(
        'name', ['@main', f'@{REVISION}', '/model.safetensors', '@main/config.json']
    )
    def test_a_revision_and_a_file_may_be_chosen(self, hub, name):
        assert locate(f'hf:laion/toy{name}').parent == hub

    def test_what_is_not_in_the_cache_is_asked_for(self, hub):
        with pytest.raises(RuntimeError, match=r'hf:laion/none: none of .*HF_HUB_OFFLINE'):
            locate('hf:laion/none')

    @pytest.mark.parametrize('name', ['hf:', 'hf:toy', 'hf:a/', 'hf:/b'])
    def test_another_form_is_named(self, name):
        with pytest.raises(ValueError, match='must be hf:OWNER/NAME'):
            locate(name)

    def test_a_name_that_cannot_be_is_named(self, hub):
        with pytest.raises(RuntimeError, match=r'hf:a b/\.\.: config.json cannot be fetched'):
            locate('hf:a b/..')

    def test_without_the_library_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
        with pytest.raises(RuntimeError, match=r"pip install 'mmstadapter\[hub\]'"):
            locate('hf:laion/toy')
