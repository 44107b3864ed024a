"""An exported file is equal to its model, says what it needs, and runs without us."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmstadapter
from mmstadapter import create_model, shipped
from mmstadapter.commands.export import main
from mmstadapter.engine.tuned_checkpoint import write_adapter
from mmstadapter.exporting import onnx_file, pt2_file
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk, write_clip_file

from ..datasets.conftest import write_video

pytestmark = pytest.mark.slow

SMALL = TINY_ARCH | dict(num_layers=2)
ONE = TINY_ARCH | dict(num_layers=1)
LABELS = ['leap', 'fall', 'sleep']
MEAN, STD = [120.0, 115.0, 104.0], [68.0, 66.0, 70.0]
STEPS = [
    dict(type='mmstadapter.VideoInit'),
    dict(
        type='mmstadapter.SampleStride', clip_len=4, frame_interval=3, num_views=2, test_mode=True
    ),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=32),
    dict(type='mmstadapter.SpatialViews', size=32, num_crops=3),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
BLOCKED = ('torch', 'mmengine', 'mmaction', 'mmcv', 'cv2', 'mmstadapter')
ALONE = """
import json, runpy, sys
for name in {blocked}: sys.modules[name] = None
tool = runpy.run_path({tool!r})
print(json.dumps(tool['Predictor']({model!r})({video!r}).tolist()))
"""
LOADED = """
import json, sys, torch
program = torch.export.load({path!r}, extra_files=(facts := {{'labels': '', 'preprocessing': ''}}))
given = torch.load({given!r})
torch.testing.assert_close(program.module()(given['video'])[0], given['logits'])
assert 'mmstadapter' not in sys.modules and json.loads(facts['labels'])
"""


def write_adapter_file(folder: Path, dtype: str | None = None) -> Path:
    """A tiny ST-Adapter, with its trunk's file beside it."""
    file = write_clip_file(folder / 'clip.safetensors', arch=SMALL)
    trunk = tiny_trunk(arch=SMALL, checkpoint=file, dtype=dtype)
    preprocessor = dict(
        type='ActionDataPreprocessor', mean=MEAN, std=STD, format_shape='NCTHW', to_rgb=False
    )
    config = Config(
        dict(
            model=dict(
                type='Recognizer3D',
                backbone=dict(type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=8),
                cls_head=dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=3),
                data_preprocessor=preprocessor,
            ),
            test_dataloader=dict(dataset=dict(pipeline=STEPS)),
        )
    )
    init_default_scope('mmaction')
    model = MODELS.build(config.model)
    model.init_weights()
    fill(model.backbone.after_attn, seed=1)
    fill(model.cls_head, seed=2)
    write_adapter(folder / 'adapter.safetensors', model, config, labels=LABELS)
    return folder / 'adapter.safetensors'


@pytest.fixture(scope='module')
def adapter(tmp_path_factory):
    return write_adapter_file(tmp_path_factory.mktemp('adapter'))


@pytest.fixture
def classifier():
    """A model that is traced at once: the mean of the frames of a trunk of one layer."""
    config = Config.fromfile(shipped.config('linear_vit-tiny_demo-motion'))
    return fill(create_model(config, pretrained=False, trunk=tiny_trunk(arch=ONE)))


@pytest.fixture(scope='module')
def onnx():
    for package in onnx_file.NEEDS:
        pytest.importorskip(package)


@pytest.fixture(scope='module')
def written(adapter, onnx, tmp_path_factory):
    """The adapter as an ONNX file."""
    (found,) = mmstadapter.export(adapter, tmp_path_factory.mktemp('onnx') / 'model.onnx')
    return found


class TestAnOnnxFile:
    @pytest.mark.processes
    def test_of_an_adapter_predicts_without_us_what_we_predict(self, adapter, written, tmp_path):
        video = str(write_video(tmp_path / 'a.mp4', 30, (64, 96)))
        (ours,) = mmstadapter.Predictor(adapter, device='cpu')(video)
        tool = str(Path(__file__).parents[2] / 'tools' / 'predict_onnx.py')
        script = ALONE.format(blocked=BLOCKED, tool=tool, model=str(written.path), video=video)
        found = subprocess.run(
            [sys.executable, '-c', script], capture_output=True, text=True, check=True
        )
        theirs = dict(zip(LABELS, json.loads(found.stdout), strict=True))
        expected = dict(zip(ours['labels'], ours['scores'], strict=True))
        assert theirs == pytest.approx(expected, abs=1e-5)

    def test_says_what_its_input_is_made_of(self, written):
        import onnxruntime

        session = onnxruntime.InferenceSession(written.path)
        stored = session.get_modelmeta().custom_metadata_map
        facts = {name: json.loads(text) for name, text in stored.items()}
        assert facts['labels'] == LABELS and facts['opset'] == 18
        made = facts['preprocessing']
        assert made['mean'] == MEAN and made['std'] == STD and made['size'] == [32, 32]
        assert (made['clip_len'], made['frame_interval'], made['views']) == (4, 3, 6)
        assert made['channels'] == 'RGB' and made['sampling'] == STEPS[1]
        assert session.get_inputs()[0].shape == ['batch', 3, 'frames', 32, 32]

    def test_of_8_bit_is_smaller_and_its_difference_is_said(
        self, adapter, written, tmp_path, capsys
    ):
        small = tmp_path / 'small.onnx'
        main([str(adapter), '--to', 'onnx', '--int8', '--out', str(small)])
        assert small.stat().st_size < 0.9 * written.path.stat().st_size
        said = capsys.readouterr().out
        assert 'opset 18, int8' in said and 'differs from the model by at most' in said

    def test_of_much_has_its_weights_beside_it(self, classifier, onnx, tmp_path, monkeypatch):
        monkeypatch.setattr(onnx_file, 'LARGEST', 1000)
        (written,) = mmstadapter.export(classifier, tmp_path / 'model.onnx')
        assert sorted(p.name for p in tmp_path.iterdir()) == ['model.onnx', 'model.onnx.data']
        clips = torch.randn(1, 3, 8, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(onnx_file.run(written.path, clips)[0], classifier(clips))

    def test_of_a_retriever_is_two_whose_outputs_are_compared(self, onnx, tmp_path):
        config = Config.fromfile(shipped.config('stadapter_vit-tiny_demo-captions'))
        model = fill(create_model(config, pretrained=False))
        video, text = mmstadapter.export(model, tmp_path / 'model.onnx')
        assert (video.path.name, text.path.name) == ('model.video.onnx', 'model.text.onnx')
        clips, ids = torch.randn(2, 3, 8, 32, 32), model.tokenize(['a', 'a a', 'a'])
        with torch.no_grad():
            expected = mmstadapter.score(model.encode_ids(ids), model.encode_videos(clips))
        vectors = onnx_file.run(video.path, clips)[0], onnx_file.run(text.path, ids)[0]
        torch.testing.assert_close(vectors[1] @ vectors[0].T, expected)


class TestAnArchive:
    @pytest.mark.processes
    def test_is_read_by_pytorch_alone(self, adapter, tmp_path):
        (written,) = mmstadapter.export(adapter, tmp_path / 'model.pt2')
        clips = torch.randn(3, 3, 6, 32, 32)
        logits = pt2_file.run(written.path, clips)[0]
        torch.save(dict(video=clips, logits=logits), tmp_path / 'given.pt')
        script = LOADED.format(path=str(written.path), given=str(tmp_path / 'given.pt'))
        subprocess.run([sys.executable, '-c', script], check=True)

    def test_of_a_trunk_in_16_bit_is_in_float32(self, tmp_path):
        adapter = write_adapter_file(tmp_path, dtype='float16')
        (written,) = mmstadapter.export(adapter, tmp_path / 'model.pt2')
        program = torch.export.load(str(written.path))
        assert {t.dtype for t in program.state_dict.values()} == {torch.float32}
        assert json.loads(written.metadata['precision']) == 'float32'


class TestNothingIsWritten:
    @pytest.mark.parametrize('wrong', [1e-3, float('nan')])
    def test_that_is_not_equal(self, classifier, tmp_path, monkeypatch, wrong):
        run = pt2_file.run
        monkeypatch.setattr(pt2_file, 'run', lambda path, x: [y + wrong for y in run(path, x)])
        with pytest.raises(ValueError, match='would differ from the model by'):
            mmstadapter.export(classifier, tmp_path / 'model.pt2')
        assert list(tmp_path.iterdir()) == []

    def test_over_another_file(self, classifier, tmp_path):
        (tmp_path / 'model.pt2').write_text('mine')
        with pytest.raises(FileExistsError, match='--force'):
            mmstadapter.export(classifier, tmp_path / 'model.pt2')
        assert (tmp_path / 'model.pt2').read_text() == 'mine'

    def test_without_the_packages_that_it_needs(self, classifier, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'onnxscript', None)
        with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[export\]'"):
            mmstadapter.export(classifier, tmp_path / 'model.onnx')

    @pytest.mark.parametrize(
        'options, message',
        [
            (dict(to='tflite'), 'to must be one of onnx, pt2'),
            (dict(to='pt2', int8=True), 'int8'),
            (dict(to='pt2', tower='text'), 'this is a classifier'),
            (dict(to='pt2', tower='image'), 'tower must be one of'),
        ],
    )
    def test_for_words_that_do_not_fit(self, classifier, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            mmstadapter.export(classifier, tmp_path / 'model.bin', **options)

    def test_of_a_model_that_does_not_say_what_its_clips_are(self, tmp_path):
        with pytest.raises(TypeError, match='create_model'):
            mmstadapter.export(MODELS.build(tiny_trunk()), tmp_path / 'model.pt2')


def test_the_table_of_bicubic_weights_is_opencvs():
    import cv2

    pytest.importorskip('onnxruntime')
    tool = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'predict_onnx.py'))
    image = np.random.default_rng(0).integers(0, 256, (37, 51, 3), np.uint8)
    for name, how in (('bicubic', cv2.INTER_CUBIC), ('bilinear', cv2.INTER_LINEAR)):
        theirs = cv2.resize(image.astype(np.float32), (27, 20), interpolation=how)
        height, width = (tool['weights'](*pair, name) for pair in ((37, 20), (51, 27)))
        ours = np.einsum('ih,hwc,jw->ijc', height, image, width)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
