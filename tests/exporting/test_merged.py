"""A model whose adapters were merged is exported as a plain image model, with their numbers."""

import pytest
import torch

from mmstadapter.apis.merging import merge_model
from mmstadapter.exporting import onnx_file
from mmstadapter.exporting.write import export

from ..contract.cases import CASES
from .test_every_method import SMALL, classifier

onnx = pytest.importorskip('onnx')
for package in onnx_file.NEEDS:
    pytest.importorskip(package)

WIDTH = 2  # of the adapters; nothing else in these models is as narrow
METHODS = {
    'lora': dict(type='mmstadapter.FrameMeanViT', trunk=dict(lora=dict(r=WIDTH, alpha=4))),
    'zeroi2v': CASES['zeroi2v'] | dict(ratio=WIDTH / SMALL['embed_dims']),
    'temp_me': CASES['temp_me'] | dict(lora_dims=WIDTH),
}


def sides(path) -> set[int]:
    """Rows and columns of a file's matrices."""
    weights = onnx.load(path).graph.initializer
    kind = onnx.TensorProto.FLOAT
    return {n for w in weights if len(w.dims) == 2 and w.data_type == kind for n in w.dims}


@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_a_merged_model_is_a_plain_one_with_its_numbers(method, tmp_path):
    model, clips = classifier(METHODS[method]), torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        expected = model(clips)
    assert merge_model(model) == ['backbone.trunk']
    (written,) = export(model, tmp_path / 'model.onnx')
    torch.testing.assert_close(
        onnx_file.run(written.path, clips)[0], expected, rtol=1e-4, atol=1e-4
    )
    assert WIDTH not in sides(written.path)
