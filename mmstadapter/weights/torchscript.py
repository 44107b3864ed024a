"""Read the tensors of a TorchScript archive without running or compiling its code.

An archive is a zip: ``data.pkl`` describes a tree of modules, ``data/<n>`` are the raw
storages, ``code/`` is the program, of which only the lists of parameters and buffers are
looked up. The tree is unpickled with every class replaced by a plain container.
"""

import io
import mmap
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

STORAGES = dict(
    FloatStorage=torch.float32,
    HalfStorage=torch.float16,
    BFloat16Storage=torch.bfloat16,
    DoubleStorage=torch.float64,
    LongStorage=torch.int64,
    IntStorage=torch.int32,
    ShortStorage=torch.int16,
    CharStorage=torch.int8,
    ByteStorage=torch.uint8,
    BoolStorage=torch.bool,
)
DECLARATION = r'^class {}\(Module\):\n  __parameters__ = (\[.*\])\n  __buffers__ = (\[.*\])$'
LISTS = ('build_intlist', 'build_boollist', 'build_doublelist', 'build_tensorlist')


def is_torchscript(path: str | Path) -> bool:
    """Whether a zip file is a TorchScript archive rather than one of ``torch.save``."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor of every parameter and buffer, on the CPU; other attributes are dropped.

    Storages that are not compressed, which is how torch writes them, stay in the
    file until touched; writing into such a tensor does not change the file.

    Raises:
        pickle.UnpicklingError: if the archive refers to anything but its own modules,
            tensors, lists and numbers, or is damaged.
    """
    with zipfile.ZipFile(path) as archive, open(path, 'rb') as file:
        records = _Records(archive, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        if records.find('byteorder', b'little') != b'little':
            raise pickle.UnpicklingError('a big-endian archive; save it again on a usual machine')
        stream = io.BytesIO(records.find('data.pkl'))
        try:
            root = _TreeUnpickler(stream, records).load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:  # a damaged pickle may fail anywhere
            raise pickle.UnpicklingError(f'{type(error).__name__}: {error}') from error
    return dict(_walk(root, ''))


class _Records:
    """The members of an archive, whose names all start with one folder."""

    def __init__(self, archive: zipfile.ZipFile, memory: mmap.mmap) -> None:
        self.archive, self.memory = archive, memory
        names = archive.namelist()
        self.folder = next(n for n in names if n.endswith('/constants.pkl'))[
            : -len('constants.pkl')
        ]
        self.names = set(names)

    def find(self, name: str, default: bytes | None = None) -> bytes:
        """The bytes of a small member."""
        if self.folder + name not in self.names:
            if default is None:
                raise pickle.UnpicklingError(f'the archive lacks {name}')
            return default
        return self._bytes(self.archive.getinfo(self.folder + name))

    def _bytes(self, info: zipfile.ZipInfo) -> bytes:
        """A member, no longer than its entry says, whatever its compressed bytes unpack to."""
        with self.archive.open(info) as member:
            return member.read(info.file_size)

    def storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """A member as a flat tensor of ``count`` elements."""
        if count == 0:
            return torch.empty(0, dtype=dtype)
        info = self.archive.getinfo(f'{self.folder}data/{key}')
        if info.compress_type != zipfile.ZIP_STORED:
            return torch.frombuffer(bytearray(self._bytes(info)), dtype=dtype, count=count)
        if count * dtype.itemsize > info.file_size:
            raise pickle.UnpicklingError(f'data/{key} holds less than {count} values of {dtype}')
        header = self.memory[info.header_offset : info.header_offset + 30]
        start = (
            info.header_offset
            + 30
            + sum(int.from_bytes(header[at : at + 2], 'little') for at in (26, 28))
        )  # the file name's and the extra field's lengths, in the member's own header
        return torch.frombuffer(self.memory, dtype=dtype, count=count, offset=start)

    def declared(self, module: str, name: str) -> frozenset[str] | None:
        """Parameters and buffers that the program of a class lists, read as text."""
        program = self.find(f'code/{module.replace(".", "/")}.py', b'').decode(errors='replace')
        lists = re.search(DECLARATION.format(re.escape(name)), program, re.MULTILINE)
        return frozenset(re.findall(r'"([^"]+)"', ''.join(lists.groups()))) if lists else None


class _Module:
    """Stands for any class of the archive; keeps its attributes and nothing else.

    `declared` are the names of its parameters and buffers, None if it does not tell.
    """

    declared: frozenset[str] | None = None
    attributes: dict[str, Any]

    def __new__(cls, *args: Any) -> '_Module':
        module = super().__new__(cls)
        module.attributes = {}
        return module

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _StorageType(NamedTuple):
    dtype: torch.dtype


class _TreeUnpickler(pickle.Unpickler):
    """Unpickler that knows modules, tensors and lists, and refuses every other name."""

    def __init__(self, stream: io.BytesIO, records: _Records) -> None:
        super().__init__(stream)
        self.records = records
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            declared = self.records.declared(module, name)
            return type('_Module', (_Module,), dict(declared=declared))
        if module == 'torch' and name in STORAGES:
            return _StorageType(STORAGES[name])
        known: dict[tuple[str, str], Callable] = {
            ('torch._utils', '_rebuild_tensor_v2'): _rebuild,
            ('collections', 'OrderedDict'): OrderedDict,
            ('torch.jit._pickle', 'restore_type_tag'): lambda value, _: value,
            **{('torch.jit._pickle', build): lambda values: values for build in LISTS},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(
                f'the archive refers to {module}.{name}, which is neither a module of its own nor '
                'a tensor; it was not loaded'
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        kind, storage_type, key, _, count = pid
        if kind != 'storage' or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError(f'unknown kind of record {pid!r}')
        if key not in self.storages:
            self.storages[key] = self.records.storage(key, storage_type.dtype, count)
        return self.storages[key]


def _rebuild(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    """The view of a storage that the archive describes; torch checks its bounds."""
    return storage.as_strided(size, stride, offset)


def _walk(node: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors below a node, named by their path."""
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, _Module):
        for key, child in node.attributes.items():
            if isinstance(child, Tensor) and node.declared is not None and key not in node.declared:
                continue  # a mask or the like, which a state dict does not hold either
            yield from _walk(child, f'{name}.{key}' if name else key)
