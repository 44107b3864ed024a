"""Every registered method becomes an ONNX file that gives its numbers in ONNX Runtime."""

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config

from mmstadapter import create_model, shipped
from mmstadapter.exporting.sources import source_of
from mmstadapter.exporting.write import TOLERANCE, export
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk

from ..contract.cases import CASES

for package in ('onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(package)

SMALL = TINY_ARCH | dict(num_layers=2)
ANY_FRAMES = ('frame_mean', 'prompt', 'attn_pool', 'probe', 'st_adapter', 'side4video', 'tds_clip')


def first_cases() -> list[str]:
    """The first of every method, in the order of cases.py."""
    first: dict[str, str] = {}
    for case, row in CASES.items():
        first.setdefault(row['type'], case)
    return list(first.values())


def classifier(row: dict):
    """A method with a head, on a trunk of two layers."""
    config = Config.fromfile(shipped.config('linear_vit-tiny_demo-motion')).to_dict()
    steps = config['test_dataloader']['dataset']['pipeline']
    sampling = next(i for i, step in enumerate(steps) if 'clip_len' in step)
    steps[sampling]['clip_len'] = row.get('num_frames', 4)
    if row['type'] == 'mmstadapter.TDSCLIPViT':
        steps.insert(sampling + 1, dict(type='mmstadapter.AddNeighbours'))
    backbone = row | dict(trunk=tiny_trunk(arch=SMALL) | row.get('trunk', {}))
    model = dict(backbone=backbone, cls_head=dict(type='mmstadapter.VideoHead', num_classes=5))
    config['model'] |= model
    return fill(create_model(config, pretrained=False))


@pytest.mark.slow
@pytest.mark.minutes
@pytest.mark.parametrize('case', first_cases())
def test_a_method_is_exported_with_an_open_batch(case, tmp_path):
    model = classifier(CASES[case])
    (written,) = export(model, tmp_path / 'model.onnx')
    assert written.difference < TOLERANCE and written.path.is_file()
    assert {shape[0] for shape in written.tried} == {1, 3}
    frames = {shape[2] for shape in written.tried}
    assert (len(frames) > 1) == (case in ANY_FRAMES), 'frames are open where the method allows'


def test_the_sweep_sees_every_method():
    assert {CASES[case]['type'] for case in first_cases()} == {r['type'] for r in CASES.values()}
    assert len(first_cases()) >= 14 and all(
        MODELS.get(CASES[case]['type']) for case in first_cases()
    )


def test_a_built_model_is_copied(tmp_path):
    model = classifier(CASES['frame_mean'])
    model.requires_grad_(True)
    assert source_of(model).model is not model and next(model.parameters()).requires_grad
