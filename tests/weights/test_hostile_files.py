"""Files of weights are data: told by content, bounded, checked, and refused by name."""

import pickle
import resource
import zipfile

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import mmstadapter  # noqa: F401, registers the loader
from mmstadapter.testing import tiny_trunk, write_clip_file
from mmstadapter.weights import open_tensors, read_tensors

UNSAFE = ('weights_only', 'add_safe_globals', 'allowlist')


def mmengine(path):
    """The door of `train`, `test`, `publish` and `load_from`."""
    return CheckpointLoader.load_checkpoint(str(path), 'cpu', None)


DOORS = pytest.mark.parametrize('door', [read_tensors, open_tensors, mmengine])


@pytest.fixture
def tensors():
    return {'a.weight': torch.randn(30, 40), 'a.bias': torch.randn(30)}


def repack(path, change=lambda name, content: content, method=zipfile.ZIP_STORED):
    """Write an archive anew with its members changed."""
    with zipfile.ZipFile(path) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, 'w', method) as new:
        for name, content in members:
            new.writestr(name, change(name, content))


class TestContentTells:
    """A file in Hugging Face's cache is named by its digest alone."""

    def test_whatever_a_file_is_called(self, tmp_path, tensors):
        save_file(tensors, tmp_path / 'blob')
        torch.save(tensors, tmp_path / 'x.safetensors')
        for name in ('blob', 'x.safetensors'):
            assert_close(read_tensors(tmp_path / name), tensors, rtol=0, atol=0)
            assert_close(dict(open_tensors(tmp_path / name)), tensors, rtol=0, atol=0)

    def test_mmengine_reads_safetensors_without_the_suffix(self, tmp_path, tensors):
        save_file(tensors, tmp_path / 'blob', dict(format='pt'))
        found = mmengine(tmp_path / 'blob')
        assert_close(dict(found['state_dict']), tensors, rtol=0, atol=0)
        assert found['meta']['adapter'] == dict(format='pt')

    def test_an_index_of_shards_without_its_suffix(self, tmp_path, tensors):
        save_file(tensors, tmp_path / 'shard')
        (tmp_path / 'blob').write_text('{"weight_map": {"a.weight": "shard", "a.bias": "shard"}}')
        assert_close(read_tensors(tmp_path / 'blob'), tensors, rtol=0, atol=0)

    @pytest.mark.parametrize(
        'content, says',
        [
            (b'', 'empty'),
            (b'version https://git-lfs.github.com/spec/v1\noid sha256:12\n', 'git lfs pull'),
            (b'\n<!DOCTYPE html><html>not found</html>', 'web page'),
            (b'PK\x03\x04' + bytes(500), 'archive is missing'),
            (b'\x80\x02' + bytes(500), 'damaged'),
            (b'{"a": 1}', 'weight_map'),
            ((400).to_bytes(8, 'little') + b'{"a": 1}', 'whole safetensors file'),
        ],
    )
    @DOORS
    def test_what_is_none_is_named(self, tmp_path, door, content, says):
        (tmp_path / 'x.pth').write_bytes(content)
        with pytest.raises(ValueError, match=rf'x\.pth.*{says}'):
            door(tmp_path / 'x.pth')


class TestBounds:
    @pytest.mark.parametrize('script', [False, True])
    @DOORS
    @pytest.mark.slow
    def test_a_file_that_would_unpack_to_gigabytes_takes_no_memory(self, tmp_path, door, script):
        path = tmp_path / 'x.pt'
        layer = torch.nn.Linear(2, 2)
        torch.jit.save(torch.jit.script(layer), path) if script else torch.save(
            layer.state_dict(), path
        )
        repack(path, method=zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
            with archive.open('x/data/9', 'w') as member:
                for _ in range(32):
                    member.write(bytes(1 << 24))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ValueError, match=r'x\.pt has .* would unpack to 536,'):
            door(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10

    @DOORS
    def test_an_archive_that_was_packed_again_gives_the_same(self, tmp_path, door, tensors):
        torch.save(dict(state_dict=tensors), tmp_path / 'x.pth')
        repack(tmp_path / 'x.pth', method=zipfile.ZIP_DEFLATED)
        found = door(tmp_path / 'x.pth')
        assert_close(dict(found.get('state_dict', found)), tensors, rtol=0, atol=0)

    def test_one_number_that_stands_for_a_billion(self, tmp_path):
        torch.save({'a': torch.zeros(1).expand(1 << 30)}, tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=r'x\.pth .* every number'):
            read_tensors(tmp_path / 'x.pth')

    def test_tensors_without_memory(self, tmp_path):
        torch.save({'a': torch.empty(3, device='meta')}, tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=r'x\.pth must hold dense tensors'):
            read_tensors(tmp_path / 'x.pth')


class TestChecksums:
    @DOORS
    def test_a_flipped_bit_in_an_archive(self, tmp_path, door, tensors):
        path = tmp_path / 'x.pth'
        torch.save(dict(state_dict=tensors), path)
        content = bytearray(path.read_bytes())
        at = content.index(tensors['a.bias'].numpy().tobytes())
        content[at + 5] ^= 4
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'x\.pth .*CRC'):
            door(path)

    def test_archives_without_checksums_are_read(self, tmp_path, tensors):
        torch.serialization.set_crc32_options(False)
        try:
            torch.save(tensors, tmp_path / 'x.pth')
        finally:
            torch.serialization.set_crc32_options(True)
        assert_close(read_tensors(tmp_path / 'x.pth'), tensors, rtol=0, atol=0)


class TestWhereverItIs:
    """Damage of every place of a file: the door names the file, or the file is as good."""

    @pytest.mark.parametrize('kind', ['safetensors', 'archive', 'script', 'old'])
    def test_two_hundred_injuries(self, tmp_path, kind, tensors):
        path, rng = tmp_path / 'x.pth', np.random.default_rng(0)
        if kind == 'safetensors':
            save_file(tensors, path)
        elif kind == 'script':
            torch.jit.save(torch.jit.script(torch.nn.Linear(40, 30)), path)
        else:
            torch.save(tensors, path, _use_new_zipfile_serialization=kind == 'archive')
        whole = path.read_bytes()
        for number in range(200):
            content = bytearray(whole)
            at = int(rng.integers(len(whole)))
            if number % 2:  # in what describes the tensors, where there is most to go wrong
                at %= 700
                at = at if number % 4 == 1 else len(whole) - 1 - at
            content[at : at + 1 + number % 9] = rng.bytes(1 + number % 9)
            path.write_bytes(content[: -number if number % 3 == 0 and number else None])
            try:
                read_tensors(path)
            except ValueError as error:
                assert 'x.pth' in str(error)
                assert not any(word in str(error) for word in UNSAFE)


class Evil:
    def __reduce__(self):
        return print, ('executed',)


class TestAdvice:
    @DOORS
    def test_nobody_is_told_to_load_it_unsafely(self, tmp_path, door, capsys):
        torch.save({'state_dict': {'a': Evil()}}, tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=r'x\.pth .*it refers to .*print') as caught:
            door(tmp_path / 'x.pth')
        assert not any(word in str(caught.value) for word in UNSAFE)
        assert 'executed' not in capsys.readouterr().out

    @DOORS
    def test_nor_of_what_is_damaged(self, tmp_path, door, tensors):
        path = tmp_path / 'x.pth'
        torch.save(dict(state_dict=tensors), path)
        repack(path, lambda name, c: pickle.dumps(3)[:-1] + b'\xff' if 'data.pkl' in name else c)
        with pytest.raises(ValueError, match=r'x\.pth') as caught:
            door(path)
        assert not any(word in str(caught.value) for word in UNSAFE)


class TestPrefixes:
    @pytest.mark.parametrize(
        'prefix', ['module.', '_orig_mod.', 'module._orig_mod.', '_orig_mod.module.', 'module.' * 2]
    )
    @DOORS
    def test_what_wrapped_the_model_is_taken_off(self, tmp_path, door, tensors, prefix):
        wrapped = {prefix + name: tensor for name, tensor in tensors.items()}
        torch.save(dict(state_dict=wrapped), tmp_path / 'x.pth')
        found = door(tmp_path / 'x.pth')
        assert_close(dict(found.get('state_dict', found)), tensors, rtol=0, atol=0)

    def test_a_model_of_which_one_part_was_compiled(self, tmp_path, tensors):
        save_file(
            {'visual._orig_mod.a': tensors['a.bias'], 'b': tensors['a.bias'] + 1},
            tmp_path / 'x.safetensors',
        )
        assert read_tensors(tmp_path / 'x.safetensors').keys() == {'visual.a', 'b'}

    def test_two_models_in_one_file_are_refused(self, tmp_path, tensors):
        two = tensors | {f'_orig_mod.{name}': tensor for name, tensor in tensors.items()}
        torch.save(two, tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=r'a\.weight is there with and without _orig_mod'):
            read_tensors(tmp_path / 'x.pth')


class TestNumbers:
    def test_mmengine_loads_no_weights_that_are_not_numbers(self, tmp_path, tensors):
        tensors['a.bias'][3] = float('nan')
        torch.save(dict(state_dict=tensors), tmp_path / 'x.pth')
        with pytest.raises(ValueError, match=r'x\.pth: weights must be finite .* a\.bias'):
            mmengine(tmp_path / 'x.pth')

    def test_nor_does_a_trunk(self, tmp_path):
        file = write_clip_file(tmp_path / 'clip.safetensors')
        tensors = load_file(file)
        tensors['visual.ln_post.bias'][0] = float('inf')
        save_file(tensors, file)
        trunk = MODELS.build(tiny_trunk(checkpoint=str(file)))
        with pytest.raises(ValueError, match=r'clip\.safetensors: weights must .* ln_post\.bias'):
            trunk.init_weights()
