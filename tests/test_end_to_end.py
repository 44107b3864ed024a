"""A user's config of a few lines trains on real video files, and its checkpoint is used."""

import json
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmaction.apis import inference_recognizer, init_recognizer

from mmstadapter.testing import TINY_ARCH, write_clip_file

pytestmark = pytest.mark.processes

USER_CONFIG = """
_base_ = 'mmstadapter::stadapter_vit-b_k400.py'
tiny = dict(_delete_=True, type='mmstadapter.CLIPViT', arch=dict({arch}), checkpoint='{checkpoint}')
model = dict(
    backbone=dict(trunk=tiny, bottleneck_dims=8),
    cls_head=dict(in_channels=32, num_classes=2, topk=(1,)))
data = dict(ann_file='{data}/list.txt', data_prefix=dict(video='{data}'))
train_pipeline = [dict(step, size=32) if step['type'].endswith('RandomSquare') else
                  dict(step, size=(32, 36)) if step['type'].endswith('ResizeShortSide') else step
                  for step in _base_.train_pipeline]
test_pipeline = [dict(step, size=32) if 'size' in step else step for step in _base_.test_pipeline]
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(num_workers=0, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(metric_options=dict(top_k_accuracy=dict(topk=(1,))))
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=1, convert_to_iter_based=True)]
default_hooks = dict(logger=dict(interval=1))
"""


def write_videos(folder: Path, count: int = 8) -> None:
    """Clips that get lighter (label 0) or darker (label 1), and their list."""
    lines = []
    for i in range(count):
        levels = np.linspace(40, 200, 24)[:: 1 - 2 * (i % 2)]
        with av.open(str(folder / f'{i}.mp4'), 'w') as container:
            stream = container.add_stream('libx264', rate=24)
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            stream.options = {'x264-params': 'log-level=error'}
            for level in levels:
                image = np.full((48, 64, 3), level + i, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
            container.mux(stream.encode())
        lines.append(f'{i}.mp4 {i % 2}')
    (folder / 'list.txt').write_text('\n'.join(lines))


def start(name: str, *arguments, cwd: Path) -> subprocess.CompletedProcess:
    """Run a command from another folder."""
    command = [sys.executable, '-m', 'mmstadapter', name, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def tool(name: str, *arguments, cwd: Path) -> str:
    """What a command printed, which must not fail."""
    result = start(name, *arguments, cwd=cwd)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder in which a user trained for two epochs, with one corrupt video."""
    folder = tmp_path_factory.mktemp('user')
    data = folder / 'data'
    data.mkdir()
    write_videos(data)
    (data / '7.mp4').write_bytes((data / '7.mp4').read_bytes()[:300])
    checkpoint = write_clip_file(folder / 'clip.safetensors', seed=4)
    arch = ', '.join(f'{k}={v}' for k, v in TINY_ARCH.items())
    config = USER_CONFIG.format(arch=arch, checkpoint=checkpoint, data=data)
    (folder / 'mine.py').write_text(config)
    (folder / 'out.txt').write_text(tool('train', 'mine.py', cwd=folder))
    return folder


def test_training_says_what_is_tuned_and_that_the_cpu_trains_in_float32(trained):
    out = (trained / 'out.txt').read_text()
    assert 'tuned parameters: 1,818 (1,752 without the classifier)' in out
    assert 'no accelerator here, training on the CPU in torch.float32' in out


def test_the_corrupt_video_is_reported_and_counted(trained):
    out = (trained / 'out.txt').read_text()
    assert '7.mp4' in out and 'could not be decoded' in out
    bad = json.loads((trained / 'work_dirs/mine/bad_videos_train_rank0.json').read_text())
    assert [Path(p).name for p in bad] == ['7.mp4']


def test_the_checkpoint_holds_the_tuned_part_alone(trained):
    file = trained / 'work_dirs/mine/epoch_2.pth'
    state = torch.load(file, weights_only=True)['state_dict']
    trunk = [k for k in state if k.startswith('backbone.trunk.')]
    assert trunk == ['backbone.trunk.fingerprint']


def test_testing_from_the_tuned_checkpoint_gives_the_accuracy_of_training(trained):
    out = tool('test', 'mine.py', 'work_dirs/mine/epoch_2.pth', cwd=trained)
    tested = re.findall(r'acc/top1: ([\d.]+)', out)[-1]
    assert tested == re.findall(r'acc/top1: ([\d.]+)', (trained / 'out.txt').read_text())[-1]
    assert 'bad_videos: 1' in out


def test_a_checkpoint_of_another_task_is_no_test_of_a_random_classifier(trained):
    options = ('--cfg-options', 'model.cls_head.num_classes=3')
    done = start('test', 'mine.py', 'work_dirs/mine/epoch_2.pth', *options, cwd=trained)
    assert done.returncode != 0
    assert 'epoch_2.pth does not belong to this model' in done.stderr
    assert 'size mismatch for cls_head.fc_cls.weight' in done.stderr


def test_the_published_file_predicts_like_the_checkpoint(trained):
    out = trained / 'adapter.safetensors'
    (trained / 'labels.txt').write_text('lighter\ndarker\n')
    checkpoint = trained / 'work_dirs/mine/epoch_2.pth'
    labels = ('--labels', trained / 'labels.txt')
    tool('publish', 'mine.py', checkpoint, out, *labels, cwd=trained)
    assert out.stat().st_size < 100_000
    video = str(trained / 'data/0.mp4')
    scores = []
    for file in (checkpoint, out):
        model = init_recognizer(trained / 'mine.py', str(file), device='cpu')
        scores.append(inference_recognizer(model, video).pred_score)
    assert torch.equal(*scores)
    assert scores[0].sum().item() == pytest.approx(1, abs=1e-5)
