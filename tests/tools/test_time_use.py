"""The report of what a model loses when frames lose their order."""

import json
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config

from mmstadapter import launch
from mmstadapter.analysis import time_use
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk

CONFIG = """
_base_ = 'mmstadapter::linear_vit-b_k400.py'
tiny = dict(_delete_=True, type='mmstadapter.CLIPViT', arch={arch!r})
model = dict(backbone=dict(trunk=tiny), cls_head=dict(in_channels=32, num_classes=3))
test_pipeline = [dict(step, size=32) if 'size' in step else step for step in _base_.test_pipeline]
test_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=3,
    dataset=dict(pipeline=test_pipeline, ann_file='list.txt', data_prefix=dict(video='.')))
"""


@pytest.fixture(scope='module')
def tool():
    return time_use


class Reader(torch.nn.Module):
    """A model that scores 4 classes by a rule on the frames' brightness, (B, V, T)."""

    def __init__(self, rule):
        super().__init__()
        self.rule, self.shown = rule, []

    def test_step(self, data):
        clips = torch.stack(data['inputs'])
        self.shown.append(clips)
        for sample, label in zip(
            data['data_samples'], self.rule(clips.mean((2, 4, 5))), strict=True
        ):
            sample.set_pred_score(torch.eye(4)[int(label)])
        return data['data_samples']


def loader(labels, size=2, num_frames=8, **lost):
    """Batches of clips (2 views) that get lighter from frame to frame, from the label on."""
    samples = [ActionDataSample().set_gt_label(label) for label in labels]
    for index, label in lost.items():
        samples[int(index[1:])].set_gt_label(-1).set_metainfo(dict(lost_label=label))
    steps = torch.arange(float(num_frames)).view(1, 1, -1, 1, 1)
    clips = [(steps + label).expand(2, 3, -1, 4, 4) for label in labels]
    starts = range(0, len(labels), size)
    return [dict(inputs=clips[i : i + size], data_samples=samples[i : i + size]) for i in starts]


def by_first_frame(light):
    return light[:, 0, 0]


def by_mean(light):
    return (light[:, 0].mean(-1) - 3.5).round().clamp(0, 3)


def test_orders(tool):
    orders = {kind: tool.frame_order(kind, 8, seed=3).tolist() for kind in tool.ORDERS}
    assert orders['in order'] == list(range(8))
    assert orders['reversed'] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert orders['frozen'] == [4] * 8
    assert sorted(orders['shuffled']) == list(range(8))


def test_a_shuffled_clip_is_never_in_order_and_repeats_with_its_seed(tool):
    orders = [tool.frame_order('shuffled', 3, seed).tolist() for seed in range(50)]
    assert [0, 1, 2] not in orders and len(set(map(tuple, orders))) == 5
    assert orders == [tool.frame_order('shuffled', 3, seed).tolist() for seed in range(50)]
    assert tool.frame_order('shuffled', 1).tolist() == [0]


def test_frames_are_moved_and_nothing_else(tool):
    video = torch.arange(2 * 3 * 4 * 2 * 2).view(2, 3, 4, 2, 2)
    assert torch.equal(tool.show(video, 'reversed', 0), video.flip(2))
    assert torch.equal(tool.show(video, 'in order', 0), video)


def test_a_model_blind_to_order_loses_nothing_by_shuffling_and_reversing(tool):
    labels, right = tool.compare(Reader(by_mean), loader([0, 1, 2, 3, 1]))
    assert labels.tolist() == [0, 1, 2, 3, 1]
    assert right[:, :3].all()


def test_the_shipped_mean_of_frames_is_blind_to_order(tool):
    config = dict(
        type='Recognizer3D',
        data_preprocessor=dict(
            type='ActionDataPreprocessor', mean=[3.0] * 3, std=[2.0] * 3, format_shape='NCTHW'
        ),
        backbone=dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk()),
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=4),
    )
    model = fill(MODELS.build(config), seed=2, scale=1).eval()
    generator = torch.Generator().manual_seed(0)
    noise = [torch.rand(2, 3, 4, 32, 32, generator=generator) for _ in range(12)]
    inputs = [
        clip + 20 * torch.rand(2, 3, 4, 4, 4, generator=generator).repeat(1, 1, 1, 8, 8)
        for clip in noise
    ]
    torch.nn.init.zeros_(model.cls_head.fc_cls.bias)
    samples = [ActionDataSample().set_gt_label(0) for _ in inputs]
    tested = model.test_step(dict(inputs=inputs, data_samples=samples))
    answers = [int(sample.pred_score.argmax()) for sample in tested]
    assert len(set(answers)) > 1
    for sample, answer in zip(samples, answers, strict=True):
        sample.set_gt_label(answer)  # its own answer in order is taken for the truth
    _, right = tool.compare(model, [dict(inputs=inputs, data_samples=samples)])
    assert right[:, :3].all()


def test_a_model_that_reads_the_first_frame_loses_all(tool):
    labels, right = tool.compare(Reader(lambda x: by_first_frame(x).clamp(max=3)), loader([0, 1]))
    assert right.tolist() == [[True, right[0, 1], False, False], [True, right[1, 1], False, False]]
    assert tool.report(labels, right)['overall']['drop'] == 100


def test_the_shuffled_order_is_the_videos_own_whatever_the_batch(tool):
    models = [Reader(by_mean) for _ in range(2)]
    for model, size in zip(models, (2, 3), strict=True):
        tool.compare(model, loader([0, 1, 2, 3, 1, 2], size), seed=7)
    one, other = (torch.cat(m.shown[1::4])[:, 0, 0, :, 0, 0] for m in models)
    assert torch.equal(one, other)
    assert not torch.equal(one[0] - one[0].min(), one[1] - one[1].min())


def test_a_lost_video_is_wrong_in_every_order_of_its_own_class(tool):
    labels, right = tool.compare(Reader(by_mean), loader([0, 1, 2], _1=1))
    assert labels.tolist() == [0, 1, 2]
    assert not right[1].any() and right[0, :3].all()


@pytest.mark.parametrize('label', [[0, 1], -1])
def test_one_label_a_video_is_needed(tool, label):
    batches = loader([0, 1])
    batches[0]['data_samples'][0].set_gt_label(label)
    with pytest.raises(ValueError, match='one label a video is needed, got'):
        tool.compare(Reader(by_mean), batches)


def test_frames_must_have_an_axis(tool):
    with pytest.raises(ValueError, match="clips .views, 3, T, H, W. are needed.*'NCTHW'"):
        tool.show(torch.rand(8, 3, 4, 4), 'reversed', 0)


def test_classes_are_sorted_by_their_largest_loss(tool):
    labels = np.array([0, 0, 1, 1, 2])
    right = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 0, 1], [1, 0, 1, 1], [0, 0, 0, 1]], bool)
    result = tool.report(labels, right, ['sit', 'stand', 'wave'])
    losses = [(row['name'], row['videos'], row['drop']) for row in result['classes']]
    assert losses == [('stand', 2, 100), ('sit', 2, 50), ('wave', 1, 0)]
    assert result['overall']['in order'] == 80
    lines = tool.table(result).splitlines()
    assert lines[2].startswith('| all | 5 | 80.0 | 40.0 | 40.0 | 100.0 | 40.0 |')
    assert [line.split(' | ')[0] for line in lines[3:]] == ['| stand', '| sit', '| wave']


def test_too_few_names_are_refused(tool):
    with pytest.raises(ValueError, match='2 label names, but a video of class 2'):
        tool.report(np.array([0, 2]), np.ones((2, 4), bool), ['a', 'b'])


@pytest.mark.processes
def test_the_command_reports_on_a_config_and_a_checkpoint(tmp_path):
    (tmp_path / 'tiny.py').write_text(CONFIG.format(arch=dict(TINY_ARCH)))
    for i in range(4):
        write_video(tmp_path / f'{i}.mp4', shade=40 * i)
    (tmp_path / '4.mp4').write_bytes(b'no video')
    (tmp_path / 'list.txt').write_text('0.mp4 0\n1.mp4 1\n2.mp4 0\n3.mp4 1\n4.mp4 2\n')
    (tmp_path / 'names.txt').write_text('sit\nstand\nwave\n')
    model = fill(MODELS.build(Config.fromfile(tmp_path / 'tiny.py').model))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'whole.pth')
    command = [
        sys.executable,
        '-m',
        'mmstadapter',
        'time-use',
        'tiny.py',
        'whole.pth',
        '--labels',
        'names.txt',
    ]
    result = subprocess.run(
        [*map(str, command), '--device', 'cpu'], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    written = json.loads((tmp_path / 'work_dirs/tiny/time_use.json').read_text())
    assert (written['config'], written['seed']) == ('tiny.py', 0)
    overall = written['overall']
    assert overall['videos'] == 5
    assert overall['in order'] == overall['shuffled'] == overall['reversed']
    assert {row['name']: row['videos'] for row in written['classes']} == {
        'sit': 2,
        'stand': 2,
        'wave': 1,
    }
    assert next(row['in order'] for row in written['classes'] if row['name'] == 'wave') == 0
    assert f'| all | 5 | {overall["in order"]:.1f} |' in result.stdout


def write_video(path, shade: int) -> None:
    """A clip that gets lighter."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for t in range(40):
            image = np.full((48, 64, 3), shade + 2 * t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())


@pytest.mark.processes
def test_the_true_accuracy_is_that_of_the_test_command(tool, tmp_path, monkeypatch):
    """In order, the report's top-1 is what `mmstadapter test` finds on the same config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tiny.py').write_text(CONFIG.format(arch=dict(TINY_ARCH)))
    for i in range(4):
        write_video(tmp_path / f'{i}.mp4', shade=50 * i)
    cfg = Config.fromfile('tiny.py')
    model = fill(MODELS.build(cfg.model), seed=1)
    torch.save(dict(state_dict=model.state_dict()), 'whole.pth')
    (tmp_path / 'list.txt').write_text('0.mp4 0\n1.mp4 1\n2.mp4 2\n3.mp4 0\n')
    _, right = tool.compare(launch.load_model(cfg, 'whole.pth', 'cpu'), tool.build_loader(cfg))
    cfg.merge_from_dict(dict(work_dir='out', load_from='whole.pth', launcher='none'))
    cfg.test_evaluator = dict(
        type='mmstadapter.VideoAccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1,)))
    )
    tested = launch.build_runner(cfg).test()
    assert right[:, 0].mean() == tested['acc/top1']
