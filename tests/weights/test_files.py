"""Every container gives the same tensors, and none of them runs code."""

import pickle
import zipfile
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from mmstadapter.weights import read_tensors


class Tower(nn.Module):
    """A module tree with the traits of OpenAI's archives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 2, bias=False)
        self.attn = nn.MultiheadAttention(4, 2)
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.blocks[0].weight
        self.register_buffer('input_resolution', torch.tensor(224))
        self.sizes = [1, 2]
        self.mask = torch.ones(2, 2)  # an attribute, not a buffer: no part of the state dict

    def forward(self, x):
        return self.tied(self.blocks(x)) + len(self.sizes)


def write_archive(path, module=None):
    torch.jit.save(torch.jit.script(module or Tower()), str(path))
    return path


def rewrite(source, target, change, compression=zipfile.ZIP_STORED, leave_out='nothing'):
    """Copy an archive with its data.pkl changed and some members left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w', compression) as new:
        for info in (i for i in old.infolist() if leave_out not in i.filename):
            content = old.read(info)
            new.writestr(info.filename, change(content) if 'data.pkl' in info.filename else content)
    return target


@pytest.fixture
def tensors():
    return {'a.weight': torch.randn(3, 2), 'b': torch.arange(4).half()}


class TestPlainFiles:
    def test_safetensors(self, tmp_path, tensors):
        save_file(tensors, tmp_path / 'x.safetensors')
        assert_close(read_tensors(tmp_path / 'x.safetensors'), tensors, rtol=0, atol=0)

    @pytest.mark.parametrize('new_format', [True, False])
    def test_pickled_in_either_format_of_torch(self, tmp_path, tensors, new_format):
        path = tmp_path / 'x.pt'
        torch.save(tensors, path, _use_new_zipfile_serialization=new_format)
        assert_close(read_tensors(path), tensors, rtol=0, atol=0)

    @pytest.mark.parametrize('key', ['state_dict', 'model', 'model_state_dict'])
    def test_training_checkpoints_are_unwrapped(self, tmp_path, tensors, key):
        wrapped = {f'module.{name}': tensor for name, tensor in tensors.items()}
        torch.save({key: wrapped, 'epoch': 3, 'optimizer': {'state': {}}}, tmp_path / 'x.pth')
        assert_close(read_tensors(tmp_path / 'x.pth'), tensors, rtol=0, atol=0)

    def test_module_is_kept_where_not_every_name_has_it(self, tmp_path, tensors):
        mixed = {'module.a': tensors['b'], 'b': tensors['b']}
        torch.save(mixed, tmp_path / 'x.pth')
        assert read_tensors(tmp_path / 'x.pth').keys() == mixed.keys()

    def test_parameters_come_without_gradients(self, tmp_path):
        torch.save({'w': nn.Parameter(torch.ones(2))}, tmp_path / 'x.pth')
        assert not read_tensors(tmp_path / 'x.pth')['w'].requires_grad

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='absent.pt'):
            read_tensors(tmp_path / 'absent.pt')

    @pytest.mark.parametrize(
        'content',
        [{'a': 3}, {}, [torch.ones(1)], {3: torch.ones(1)}, {'a': torch.ones(2).to_sparse()}],
    )
    def test_anything_but_tensors_is_refused(self, tmp_path, content):
        torch.save(content, tmp_path / 'x.pt')
        with pytest.raises(ValueError, match='must hold'):
            read_tensors(tmp_path / 'x.pt')

    @pytest.mark.parametrize('name', ['x.pt', 'x.safetensors'])
    def test_a_damaged_file_is_refused(self, tmp_path, name):
        (tmp_path / name).write_bytes(b'no weights')
        with pytest.raises(ValueError, match=name):
            read_tensors(tmp_path / name)

    @pytest.mark.parametrize('length', [100, 12_000])
    def test_half_a_file_is_refused_by_name(self, tmp_path, length):
        """Of more than 4 KB torch says nothing but "Invalid argument"."""
        torch.save({'a': torch.randn(30, 200)}, tmp_path / 'x.pt')
        (tmp_path / 'x.pt').write_bytes((tmp_path / 'x.pt').read_bytes()[:length])
        with pytest.raises(ValueError, match=r'x\.pt is no file of plain tensors, or is damaged'):
            read_tensors(tmp_path / 'x.pt')

    def test_what_the_system_refuses_stays_an_error_of_the_system(self, tmp_path, monkeypatch):
        torch.save({'a': torch.ones(1)}, tmp_path / 'x.pt')
        refused = PermissionError(13, 'Permission denied', str(tmp_path / 'x.pt'))
        monkeypatch.setattr(torch, 'load', Mock(side_effect=refused))
        with pytest.raises(PermissionError, match=r'x\.pt'):
            read_tensors(tmp_path / 'x.pt')

    def test_a_pickle_that_wants_to_run_code_is_refused(self, tmp_path):
        torch.save({'w': Bomb(tmp_path / 'ran')}, tmp_path / 'x.pt')
        with pytest.raises(ValueError, match='state_dict'):
            read_tensors(tmp_path / 'x.pt')
        assert not (tmp_path / 'ran').exists()


class Bomb:
    """Unpickled freely, it creates a file."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


class TestTorchScript:
    @pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
    def test_tensors_are_those_of_the_module(self, tmp_path, dtype):
        module = Tower().to(dtype)
        tensors = read_tensors(write_archive(tmp_path / 'x.pt', module))
        assert_close(tensors, dict(module.state_dict()), rtol=0, atol=0)

    def test_views_of_one_storage_keep_offset_and_stride(self, tmp_path):
        module = nn.Module()
        whole = torch.randn(4, 6)
        module.register_buffer('part', whole[1:3, 2:])
        module.register_buffer('turned', whole.T)
        path = write_archive(tmp_path / 'x.pt', module)
        tensors = read_tensors(path)
        assert_close(tensors, dict(part=whole[1:3, 2:], turned=whole.T), rtol=0, atol=0)
        assert tensors['part'].untyped_storage().data_ptr() == (
            tensors['turned'].untyped_storage().data_ptr()
        )

    def test_empty_tensors_and_lists_of_all_kinds(self, tmp_path):
        module = nn.Module()
        module.register_buffer('empty', torch.empty(0, 3))
        module.numbers, module.flags, module.text = [0.5], [True], {'a': 'b'}
        tensors = read_tensors(write_archive(tmp_path / 'x.pt', module))
        assert tensors['empty'].shape == (0, 3)

    def test_a_compressed_archive_gives_the_same(self, tmp_path):
        plain = write_archive(tmp_path / 'plain.pt')
        packed = rewrite(plain, tmp_path / 'x.pt', lambda tree: tree, zipfile.ZIP_DEFLATED)
        assert_close(read_tensors(packed), read_tensors(plain), rtol=0, atol=0)

    def test_writing_into_a_tensor_leaves_the_file_alone(self, tmp_path):
        path = write_archive(tmp_path / 'x.pt')
        before = path.read_bytes()
        read_tensors(path)['conv1.weight'].zero_()
        assert path.read_bytes() == before

    def test_an_archive_without_its_program_gives_every_tensor(self, tmp_path):
        plain, path = write_archive(tmp_path / 'plain.pt'), tmp_path / 'x.pt'
        rewrite(plain, path, lambda tree: tree, leave_out='/code/')
        assert read_tensors(path).keys() == {*read_tensors(plain), 'mask'}

    def test_foreign_classes_are_refused_by_name(self, tmp_path):
        plain = write_archive(tmp_path / 'plain.pt')
        bomb = pickle.dumps(Bomb(tmp_path / 'ran'), protocol=2)
        evil = rewrite(plain, tmp_path / 'x.pt', lambda tree: bomb)
        with pytest.raises(ValueError, match='open, which is neither'):
            read_tensors(evil)
        assert not (tmp_path / 'ran').exists()

    @pytest.mark.parametrize(
        'change',
        [
            lambda tree: tree[:-20],
            lambda tree: tree.replace(b'FloatStorage', b'QInt8Storage'),
            lambda tree: tree.replace(b'storage', b'STORAGE'),
            lambda tree: tree.replace(b'(K\x04K\x04t', b'(K\x7fK\x04t'),
        ],
        ids=['cut', 'quantised', 'record', 'size'],
    )
    def test_a_damaged_tree_is_refused(self, tmp_path, change):
        plain = write_archive(tmp_path / 'plain.pt')
        with pytest.raises(ValueError, match='damaged'):
            read_tensors(rewrite(plain, tmp_path / 'x.pt', change))
