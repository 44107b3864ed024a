"""The drawing of attention before and after adaptation, from a video file to pictures."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmstadapter import launch
from mmstadapter.analysis import attention
from mmstadapter.commands.attention import main
from mmstadapter.engine.tuned_checkpoint import drop_frozen, write_adapter
from mmstadapter.testing import TINY_ARCH, fill, write_clip_file

CONFIG = """
_base_ = 'mmstadapter::stadapter_vit-b_k400.py'
tiny = dict(_delete_=True, type='mmstadapter.CLIPViT', arch={arch!r}, checkpoint={checkpoint!r})
model = dict(
    backbone=dict(trunk=tiny, bottleneck_dims=8), cls_head=dict(in_channels=32, num_classes=2))
test_pipeline = [dict(step, size=32) if 'size' in step else step for step in _base_.test_pipeline]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
"""


@pytest.fixture(scope='module')
def tool():
    return attention


def write_video(path: Path, frames: int = 40) -> None:
    """A square that moves to the right over a grey ramp."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for t in range(frames):
            image = np.tile(np.linspace(30, 90, 64, dtype=np.uint8)[:, None], (48, 1, 3))
            image[16:32, t : t + 16] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A config on a tiny trunk, a checkpoint of its tuned part, and a video."""
    init_default_scope('mmaction')
    folder = tmp_path_factory.mktemp('attention')
    file = write_clip_file(folder / 'clip.safetensors', seed=3)
    (folder / 'tiny.py').write_text(CONFIG.format(arch=dict(TINY_ARCH), checkpoint=file))
    write_video(folder / 'video.mp4')
    model = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    fill(model, seed=5, scale=0.4)
    model.backbone.trunk.load_pretrained()
    state = drop_frozen(model, model.state_dict())
    torch.save(dict(state_dict=state), folder / 'tuned.pth')
    return folder


@pytest.fixture
def cfg(folder):
    return Config.fromfile(folder / 'tiny.py')


@pytest.fixture
def model(folder, cfg):
    return launch.load_model(cfg, str(folder / 'tuned.pth'), 'cpu')


def call(folder, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, '-m', 'mmstadapter', 'attention', *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec.name == 'h264'
        return [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]


@pytest.mark.processes
def test_the_command_writes_a_picture_and_a_video_of_every_frame(folder):
    result = call(folder, 'tiny.py', 'tuned.pth', 'video.mp4', '--out', 'seen', '--device', 'cpu')
    assert result.returncode == 0, result.stderr[-3000:]
    assert '8 frames;' in result.stdout
    assert (folder / 'seen/attention.png').read_bytes()[:4] == b'\x89PNG'
    frames = read(folder / 'seen/attention.mp4')
    assert len(frames) == 8
    panels = [frames[0][40:-10, x : x + 240].astype(int) for x in (20, 300, 570)]
    assert abs(panels[1] - panels[2]).mean() > 1  # before and after differ
    assert abs(frames[0].astype(int) - frames[7]).mean() > 1  # and the frames move


def test_frames_are_those_of_the_test_pipeline(tool, folder, cfg):
    views = [tool.read_clip(cfg, folder / 'video.mp4', view) for view in (0, 1, 2, None)]
    assert all(view.shape == (3, 8, 32, 32) for view in views)
    assert torch.equal(views[1], views[3])  # the middle one of three
    with pytest.raises(ValueError, match='--view must be from 0 to 2, got 3'):
        tool.read_clip(cfg, folder / 'video.mp4', 3)


def test_what_is_drawn_are_frame_and_both_attentions(tool, folder, cfg, model):
    clip = tool.read_clip(cfg, folder / 'video.mp4', None)
    seen = tool.see(model, tool.image_model(model, cfg), clip)
    np.testing.assert_array_equal(seen.frames, clip.permute(1, 2, 3, 0).numpy().round())
    assert seen.before.shape == seen.after.shape == (8, 4, 4)
    assert 0 < tool.moved(seen) <= 1


def test_nothing_has_moved_where_adapters_are_the_identity(tool, folder, cfg, model):
    for adapter in model.backbone.after_attn.values():
        torch.nn.init.zeros_(adapter.fc2.weight)
        torch.nn.init.zeros_(adapter.fc2.bias)
    clip = tool.read_clip(cfg, folder / 'video.mp4', None)
    seen = tool.see(model, tool.image_model(model, cfg), clip)
    np.testing.assert_array_equal(seen.before, seen.after)
    assert tool.moved(seen) == 0


def test_heads_average_to_what_is_drawn_without_a_choice(tool, folder, cfg, model):
    clip = tool.read_clip(cfg, folder / 'video.mp4', None)
    mean, *heads = (tool.see(model, model.backbone.trunk, clip, h).after for h in (None, 0, 1))
    np.testing.assert_allclose(np.mean(heads, axis=0), mean, rtol=1e-5)
    assert abs(heads[0] - heads[1]).max() > 0.01


def test_a_tuned_trunk_is_compared_with_its_pretrained_file(tool, cfg):
    cfg.model.backbone.trunk.tune = 'all'
    model = fill(MODELS.build(cfg.model))
    before = tool.image_model(model, cfg)
    assert before.source == 'pretrained'
    assert not torch.equal(before.conv1.weight, model.backbone.trunk.conv1.weight)


def test_a_tuned_trunk_without_a_file_has_no_before(tool, cfg):
    cfg.model.backbone.trunk.update(tune='all', checkpoint=None)
    with pytest.raises(ValueError, match="tuned \\('all'\\).*no pretrained file.*Set"):
        tool.image_model(MODELS.build(cfg.model), cfg)


def test_a_backbone_without_a_trunk_has_no_before(tool, cfg):
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Linear(2, 2)))
    with pytest.raises(TypeError, match='Linear is not built on a trunk'):
        tool.image_model(model, cfg)


def test_a_long_clip_is_drawn_in_evenly_spaced_columns(tool):
    maps = np.random.RandomState(0).rand(2, 40, 4, 4)
    seen = tool.Seen(np.zeros((40, 32, 32, 3), np.uint8), *maps)
    figure = tool.picture(seen)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert (len(titles), titles[0], titles[-1]) == (16, '1', '40')


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (('absent.mp4',), 'no video absent.mp4'),
        (('video.mp4', '--head', '2'), 'head must be from 0 to 1, got 2'),
        (('tiny.py',), 'tiny.py: cannot be opened'),  # of no use as a video
    ],
)
def test_a_mistake_is_answered_in_a_sentence(folder, changed, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words = ['tiny.py', 'tuned.pth', *changed, '--out', 'x', '--device', 'cpu']
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert message in f'{stopped.value.code} {capsys.readouterr().err}'
    assert not (folder / 'x').exists()


@pytest.mark.slow
def test_an_adapter_file_needs_no_config(folder, cfg, model, tmp_path, capsys):
    write_adapter(tmp_path / 'a.safetensors', model, cfg)
    command = [str(tmp_path / 'a.safetensors'), str(folder / 'video.mp4'), '--device', 'cpu']
    main([*command, '--out', str(tmp_path / 'seen')])
    assert '8 frames;' in capsys.readouterr().out
    assert (tmp_path / 'seen/attention.png').is_file()
