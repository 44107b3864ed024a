"""Large files: shards under an index, and tensors that are read when asked for."""

import gc
import json
import weakref

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from mmstadapter.weights import Fingerprint, LazyTensors, fingerprint, open_tensors, read_tensors
from mmstadapter.weights.lazy import MappedTensors
from mmstadapter.weights.visual import CHUNK

INDEX = 'model.safetensors.index.json'


@pytest.fixture
def tensors():
    return {'a.weight': torch.randn(3, 2), 'b': torch.arange(4).half(), 'c': torch.randn(2)}


@pytest.fixture
def shards(tmp_path, tensors):
    """A checkpoint in two shards; the path of its index."""
    save_file({n: tensors[n] for n in ('a.weight', 'b')}, tmp_path / 'one.safetensors')
    torch.save({'c': tensors['c']}, tmp_path / 'two.bin')
    weight_map = {'a.weight': 'one.safetensors', 'b': 'one.safetensors', 'c': 'two.bin'}
    (tmp_path / INDEX).write_text(json.dumps(dict(metadata={}, weight_map=weight_map)))
    return tmp_path / INDEX


class TestShards:
    def test_an_index_gives_the_tensors_of_all_shards(self, shards, tensors):
        assert_close(read_tensors(shards), tensors, rtol=0, atol=0)
        assert_close(dict(open_tensors(shards)), tensors, rtol=0, atol=0)

    def test_a_missing_shard_is_named(self, shards):
        shards.with_name('two.bin').unlink()
        with pytest.raises(FileNotFoundError, match=r'lists 2 shards.* no two\.bin'):
            read_tensors(shards)

    def test_a_shard_of_another_checkpoint_is_refused(self, shards):
        torch.save({'d': torch.ones(2)}, shards.with_name('two.bin'))
        with pytest.raises(ValueError, match=r"two\.bin is not the shard.* \['c', 'd'\]"):
            read_tensors(shards)

    @pytest.mark.parametrize(
        'content',
        ['[]', '{}', '{"weight_map": {}}', '{"weight_map": {"a": "../x.bin"}}'],
    )
    def test_an_index_that_is_none_or_leaves_its_folder_is_refused(self, tmp_path, content):
        (tmp_path / INDEX).write_text(content)
        with pytest.raises(ValueError, match='is no index of shards'):
            read_tensors(tmp_path / INDEX)

    @pytest.mark.parametrize('name', [INDEX, 'weights.pth'])
    @pytest.mark.parametrize(
        'content',
        [b'nothing', b'{"weight_map": {"a"', b'{\xff\xfe\x00', b'{"a":' * 10**5],
        ids=['a word', 'cut', 'other bytes', 'too deep'],
    )
    def test_what_is_no_json_is_said_to_be_damaged(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf'{name} is no file of plain tensors, or is damaged'):
            read_tensors(tmp_path / name)


class TestMappedTensors:
    @pytest.mark.parametrize('new_format', [True, False])
    def test_files_that_cannot_be_mapped_are_read_once(self, tmp_path, tensors, new_format):
        torch.save(tensors, tmp_path / 'x.pt', _use_new_zipfile_serialization=new_format)
        opened = open_tensors(tmp_path / 'x.pt')
        assert isinstance(opened, MappedTensors) == new_format
        assert_close(dict(opened), tensors, rtol=0, atol=0)

    def test_files_are_mapped_anew_when_the_budget_is_handed_out(self, tensors):
        mappings = []

        def read():
            mapped = {name: tensor.clone() for name, tensor in tensors.items()}
            mappings.append([weakref.ref(tensor) for tensor in mapped.values()])
            return mapped

        mapped = MappedTensors(read, budget=tensors['a.weight'].nbytes)
        assert torch.equal(mapped['a.weight'], tensors['a.weight']) and len(mappings) == 1
        assert torch.equal(mapped['b'], tensors['b']) and len(mappings) == 1
        gc.collect()
        assert all(reference() is None for reference in mappings[0])  # nothing is held
        assert torch.equal(mapped['c'], tensors['c']) and len(mappings) == 2

    def test_names_are_known_without_reading(self, tensors):
        mapped = MappedTensors(lambda: dict(tensors), budget=0)
        mapped['b']
        mapped.read = None
        assert list(mapped) == list(tensors) and 'c' in mapped and len(mapped) == 3

    def test_an_absent_name_is_a_key_error(self, tensors):
        mapped = MappedTensors(lambda: dict(tensors))
        with pytest.raises(KeyError):
            mapped['absent']
        assert mapped.get('absent') is None


class TestLazyTensors:
    def test_nothing_is_made_before_it_is_asked_for(self):
        made = []
        lazy = LazyTensors({'a': lambda: made.append('a') or torch.ones(2)})
        assert list(lazy) == ['a'] and not made
        assert torch.equal(lazy['a'], torch.ones(2)) and made == ['a']

    def test_chosen_ones_pass_through_their_function(self, tensors):
        lazy = LazyTensors.choose(tensors, ['b', 'c'], dict(c=lambda t: 2 * t))
        assert_close(dict(lazy), dict(b=tensors['b'], c=2 * tensors['c']))


def test_a_fingerprint_in_chunks_is_that_of_the_whole(monkeypatch, tensors):
    whole = fingerprint(tensors)
    monkeypatch.setattr('mmstadapter.weights.visual.CHUNK', 4)
    assert torch.equal(fingerprint(tensors), whole) and CHUNK > 4
    streamed = Fingerprint()
    for name in sorted(tensors):
        streamed.add(name, tensors[name])
    assert torch.equal(streamed.result(), whole)
