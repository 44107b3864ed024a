"""ONNX files: written by PyTorch's exporter, run by ONNX Runtime."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .tracing import Traced

OPSET = 18
NEEDS = ('onnx', 'onnxscript', 'onnxruntime')
LARGEST = 2**31 - 2**20  # bytes of weights in the file itself; protobuf ends at 2 GiB


def require() -> None:
    """Raise ImportError unless what writes and runs ONNX files is installed."""
    for name in NEEDS:
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(
                f'export: ONNX needs {", ".join(NEEDS)}, and {name} cannot be imported ({error}). '
                "Install them with pip install 'mmstadapter[export]', or export --to pt2, which "
                'needs PyTorch alone.'
            ) from None


def write(traced: Traced, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a graph; weights of 2 GiB and more go into PATH.data beside it."""
    tower = traced.tower
    with _quietly():
        program = torch.onnx.export(
            traced.program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tower.given],
            output_names=list(tower.found),
            dynamic_shapes=(traced.sizes,),
            custom_translation_table={torch.ops.aten.sort.stable: _stable_sort},
            verbose=False,
        )
    program.model.metadata_props.update(metadata)
    tensors = (*traced.program.state_dict.values(), *traced.program.constants.values())
    size = sum(t.nbytes for t in tensors if isinstance(t, Tensor))
    program.save(str(path), external_data=size > LARGEST)


def _stable_sort(x: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """TopK of all: of equal values the first comes first, as ONNX promises."""
    from onnxscript import opset18 as op

    count = op.Shape(x, start=dim) if dim == -1 else op.Shape(x, start=dim, end=dim + 1)
    return op.TopK(x, count, axis=dim, largest=int(descending), sorted=1)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without PyTorch's notes of operators that it could not register."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def quantize(path: Path, out: Path) -> None:
    """Write a file again, weights of linear maps in 8 bit, their inputs measured as they come."""
    quantization: ModuleType = import_module('onnxruntime.quantization')
    large = path.with_name(f'{path.name}.data').exists()
    logging.getLogger().addFilter(_not_preprocessed)
    try:
        quantization.quantize_dynamic(
            path, out, op_types_to_quantize=['MatMul', 'Gemm'], use_external_data_format=large
        )
    finally:
        logging.getLogger().removeFilter(_not_preprocessed)


def _not_preprocessed(record: logging.LogRecord) -> bool:
    """ONNX Runtime asks for a step of preparation that our graphs, which have shapes, need not."""
    return 'pre-process' not in record.getMessage()


def run(path: Path, x: Tensor) -> list[Tensor]:
    """What the file gives in ONNX Runtime, on the CPU."""
    onnxruntime = import_module('onnxruntime')
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    given = {session.get_inputs()[0].name: x.numpy()}
    return [torch.from_numpy(y) for y in session.run(None, given)]
