"""One adapter file through every door of the package gives the same scores."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load

import mmstadapter
from mmstadapter.commands import test as test_command
from mmstadapter.datasets.readers import open_video
from mmstadapter.exporting import export

from .conftest import recipe

VIDEOS, FRAMES = 4, 20


@pytest.fixture
def videos(tmp_path) -> list[str]:
    """Videos of noise, each a little lighter, in a list with their labels."""
    rng, names = np.random.default_rng(0), [f'{i}.mp4' for i in range(VIDEOS)]
    for i, name in enumerate(names):
        with av.open(str(tmp_path / name), 'w') as container:
            stream = container.add_stream('libx264', rate=24)
            stream.width, stream.height, stream.pix_fmt = 48, 36, 'yuv420p'
            stream.options = {'x264-params': 'log-level=error'}
            for _ in range(FRAMES):
                image = (40 * i + rng.integers(0, 60, (36, 48, 3))).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
            container.mux(stream.encode())
    lines = [f'{name} {i % 3}' for i, name in enumerate(names)]
    (tmp_path / 'list.txt').write_text('\n'.join(lines) + '\n')
    return [str(tmp_path / name) for name in names]


def through_mim_test(adapter: str, file: str, folder: Path) -> torch.Tensor:
    """What `mim test` runs, in this process."""
    made = recipe(file)
    dataset = dict(
        type='mmstadapter.VideoDataset',
        ann_file=str(folder / 'list.txt'),
        data_prefix=dict(video=str(folder)),
        pipeline=made.test_dataloader.dataset.pipeline,
        test_mode=True,
        num_classes=3,
    )
    sampler = dict(type='DefaultSampler', shuffle=False)
    config = Config(
        dict(
            default_scope='mmaction',
            custom_imports=dict(imports=['mmstadapter'], allow_failed_imports=False),
            model=made.model.to_dict(),
            test_cfg=dict(type='TestLoop'),
            test_evaluator=dict(type='mmstadapter.VideoAccMetric'),
            test_dataloader=dict(batch_size=2, num_workers=0, sampler=sampler, dataset=dataset),
        )
    )
    config.dump(folder / 'config.py')
    words = [str(folder / 'config.py'), adapter, '--dump', str(folder / 'found.pkl')]
    test_command.main([*words, '--work-dir', str(folder / 'work')])
    os.environ.pop('LOCAL_RANK')  # or accelerate takes this for one of several processes
    return torch.stack([sample['pred_score'] for sample in load(folder / 'found.pkl')])


def through_predictor(adapter: Path, videos: list[str]) -> torch.Tensor:
    predict = mmstadapter.Predictor(adapter, device='cpu')
    found = [dict(zip(e['labels'], e['scores'], strict=True)) for e in predict(videos)]
    return torch.tensor([[entry[label] for label in predict.labels] for entry in found])


@torch.no_grad()
def through_module(model, videos: list[str]) -> torch.Tensor:
    return torch.stack([model(model.transform(v)).softmax(-1).mean(0) for v in videos])


def through_trainer(model, videos: list[str], folder: Path) -> torch.Tensor:
    """The library transformers'; a clip a video, frames before channels."""
    transformers = pytest.importorskip('transformers')
    pytest.importorskip('accelerate')
    data = [dict(pixel_values=model.transform(video)[0].transpose(0, 1)) for video in videos]
    args = transformers.TrainingArguments(
        output_dir=str(folder / 'out'), use_cpu=True, report_to=[], disable_tqdm=True
    )
    logits = transformers.Trainer(model, args).predict(data).predictions
    return torch.from_numpy(logits).softmax(-1)


def through_stream(adapter: Path, videos: list[str]) -> torch.Tensor:
    """Frame by frame, from the first one that the recipe's clip has."""
    predict = mmstadapter.Predictor(adapter, device='cpu')
    found = []
    for video in videos:
        first = int(
            predict.pipeline.transforms[1](dict(total_frames=FRAMES, start_index=0))[
                'frame_inds'
            ].min()
        )
        stream = mmstadapter.Stream(predict)
        frames = open_video(video).read(range(first, FRAMES))
        entry = next(filter(None, map(stream.push, frames)))
        scores = dict(zip(entry['labels'], entry['scores'], strict=True))
        found.append([scores[label] for label in predict.labels])
    return torch.tensor(found)


def through_onnx(adapter: Path, model, videos: list[str], folder: Path) -> torch.Tensor:
    """ONNX Runtime on the exported file, a clip a video."""
    for package in ('onnx', 'onnxscript'):
        pytest.importorskip(package)
    runtime = pytest.importorskip('onnxruntime')
    export(adapter, folder / 'model.onnx')
    session = runtime.InferenceSession(str(folder / 'model.onnx'))
    name = session.get_inputs()[0].name
    clips = [model.transform(video).numpy() for video in videos]
    logits = np.concatenate([session.run(None, {name: clip})[0] for clip in clips])
    return torch.from_numpy(logits).softmax(-1)


@pytest.mark.slow
def test_one_file_through_all_doors(adapter, file, videos, hub, tmp_path):
    hub('me/toy', mmstadapter.save_pretrained(adapter, tmp_path / 'saved', include_trunk=True))
    expected = through_mim_test('hf:me/toy', file, tmp_path)
    assert expected.shape == (VIDEOS, 3) and expected.std(0).min() > 1e-3  # they differ
    shared = mmstadapter.from_pretrained('hf:me/toy')
    created = mmstadapter.create_model(recipe(file), checkpoint=adapter)
    doors = dict(
        predictor=through_predictor(adapter, videos),
        create_model=through_module(created, videos),
        from_pretrained=through_module(shared, videos),
        stream=through_stream(adapter, videos),
        onnx=through_onnx(adapter, shared, videos, tmp_path),
        trainer=through_trainer(shared, videos, tmp_path),
    )
    found = {door: (scores - expected).abs().max().item() for door, scores in doors.items()}
    assert max(found.values()) <= 1e-5, found
