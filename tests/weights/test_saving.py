"""Files larger than the memory are written tensor by tensor, whole or not at all."""

import errno
import gc
import os
import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.testing import assert_close

from mmstadapter.weights import LazyTensors, save_lazily
from mmstadapter.weights.saving import DTYPES, written_whole


def test_every_type_and_shape_is_read_back_by_safetensors(tmp_path):
    whole = torch.arange(24).reshape(4, 6)
    tensors = {f'type {name}': whole.float().to(dtype) for dtype, name in DTYPES.items()}
    tensors |= dict(scalar=torch.tensor(3.5), none=torch.empty(0, 4), part=whole.T[1:3], é=whole)
    path = tmp_path / 'new folder' / 'x.safetensors'
    save_lazily(tensors, path, dict(format='pt'))
    back = load_file(path)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype and back[name].shape == tensor.shape, name
        assert torch.equal(back[name].double(), tensor.double()), name
    with safe_open(path, 'pt') as file:
        assert file.metadata() == dict(format='pt')


@pytest.mark.slow
def test_one_tensor_at_a_time_is_in_memory(tmp_path):
    alive = weakref.WeakSet()
    most = []

    def make():
        gc.collect()
        most.append(len(alive))
        tensor = torch.ones(4)
        alive.add(tensor)
        return tensor

    save_lazily(LazyTensors(dict.fromkeys('abcdef', make)), tmp_path / 'x.safetensors')
    assert max(most) <= 1 and len(most) == 12
    expected = dict.fromkeys('abcdef', torch.ones(4))
    assert_close(load_file(tmp_path / 'x.safetensors'), expected, rtol=0, atol=0)


def test_a_failure_midway_leaves_what_was_there(tmp_path):
    path = tmp_path / 'x.safetensors'
    path.write_bytes(b'precious')
    asked = []

    def second_time():
        asked.append(1)
        if len(asked) > 1:
            raise OSError('the disk is gone')
        return torch.ones(2)

    with pytest.raises(OSError, match='the disk is gone'):
        save_lazily(LazyTensors(dict(a=second_time)), path)
    assert path.read_bytes() == b'precious' and list(tmp_path.iterdir()) == [path]


def test_a_type_without_a_name_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no type for 'b', torch\.complex64.*\.pth"):
        save_lazily(dict(a=torch.ones(1), b=torch.ones(1) * 1j), tmp_path / 'x.safetensors')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
class TestAFullDisk:
    def test_says_how_much_room_is_needed_and_keeps_what_was_there(self, tmp_path, code):
        path = tmp_path / 'epoch_3.pth'
        path.write_bytes(b'precious')
        wanted = r'epoch_3\.pth could not be written.* 1,000 bytes are needed and [\d,]+ are free'
        with pytest.raises(OSError, match=wanted) as caught, written_whole(path, 1000) as part:
            part.write_bytes(b'12345')
            raise OSError(code, os.strerror(code))
        assert caught.value.errno == code
        assert path.read_bytes() == b'precious' and list(tmp_path.iterdir()) == [path]

    def test_is_told_by_the_words_of_writers_that_keep_no_number(self, tmp_path, code):
        with (
            pytest.raises(OSError, match='more than 5 bytes'),
            written_whole(tmp_path / 'a') as part,
        ):
            part.write_bytes(b'12345')
            raise RuntimeError(f'I/O error: {os.strerror(code)} (os error {code})')
        assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'disk').mkdir()
    link, file = tmp_path / 'a.bin', tmp_path / 'disk' / 'a.bin'
    link.symlink_to(file)
    with written_whole(link) as part:
        part.write_bytes(b'new')
    assert link.is_symlink() and file.read_bytes() == b'new'
