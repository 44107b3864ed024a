"""UCF101 from files to a score: lists, a Kinetics adapter, 3 steps, testing, for split 2."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmstadapter.engine.tuned_checkpoint import read_adapter, write_adapter
from mmstadapter.testing import write_clip_file

from .conftest import write_video

ROOT = Path(__file__).parents[2]
ARCH = dict(img_size=224, patch_size=56, embed_dims=32, num_layers=2, num_heads=2, output_dims=16)
CONFIG = f"""
_base_ = 'mmstadapter::stadapter_vit-b_ucf101.py'
trunk = dict(arch=dict(_delete_=True, **{ARCH}), checkpoint='clip.safetensors', dtype=None)
model = dict(
    backbone=dict(bottleneck_dims=8, trunk=trunk), cls_head=dict(in_channels=32, num_classes=2)
)
data = dict(num_classes=2)
train_dataloader = dict(batch_size=2, num_workers=0, dataset=data)
val_dataloader = dict(num_workers=0, dataset=data)
test_dataloader = dict(num_workers=0, dataset=data)
train_cfg = dict(max_steps=3)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=1, by_epoch=False)]
load_from = 'k400.safetensors'
"""


@pytest.fixture
def call(tmp_path):
    """Runs a command in ``tmp_path``; gives what it printed."""

    def run(*words) -> str:
        environment = os.environ | {'OMP_NUM_THREADS': '1'}
        command = [sys.executable, '-m', 'mmstadapter', *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    return run


def lay_out(root: Path) -> None:
    """Two classes of three avi files and the official split files, in miniature."""
    notes, videos = root / 'annotations', root / 'videos'
    notes.mkdir(parents=True)
    (notes / 'classInd.txt').write_text('1 Archery\n2 Basketball\n')
    files = []
    for number, name in enumerate(('Archery', 'Basketball'), 1):
        (videos / name).mkdir(parents=True)
        for group in (1, 2, 3):
            file = f'{name}/v_{name}_g0{group}_c01.avi'
            write_video(videos / file, frames=70, size=(120, 160), codec='mpeg4')
            files.append((group, file, number))
    for split in (1, 2, 3):
        parts = dict(
            train=''.join(f'{file} {number}\n' for g, file, number in files if g != split),
            test=''.join(f'{file}\n' for g, file, _ in files if g == split),
        )
        for part, lines in parts.items():
            (notes / f'{part}list0{split}.txt').write_text(lines)


def kinetics_adapter(folder: Path) -> None:
    """An adapter file with 400 classes on the trunk of the config."""
    config = Config.fromfile(folder / 'mine.py')
    config.model.cls_head.num_classes = 400
    config.model.backbone.trunk.checkpoint = str(folder / 'clip.safetensors')
    init_default_scope('mmaction')
    model = MODELS.build(config.model)
    model.init_weights()
    model.backbone.after_attn['0'].fc1.bias.data.fill_(3.0)
    write_adapter(folder / 'k400.safetensors', model, config)


@pytest.mark.processes
def test_from_files_to_a_score(call, tmp_path):
    lay_out(tmp_path / 'data/ucf101')
    (tmp_path / 'mine.py').write_text(CONFIG)
    write_clip_file(tmp_path / 'clip.safetensors', ARCH)
    kinetics_adapter(tmp_path)

    said = call('prepare', 'ucf101')
    assert 'ucf101_val_split_2_videos.txt: 2 listed (official: 3,734), 2 found' in said
    said = call('train', 'mine.py', '--cfg-options', 'split=2')
    assert 'size mismatch for cls_head.fc_cls.weight' in said

    folder = tmp_path / 'work_dirs/mine_split2'
    checkpoint = folder / 'epoch_2.pth'  # two steps an epoch
    assert checkpoint.is_file() and not (folder / 'epoch_3.pth').exists()
    call('publish', 'mine.py', checkpoint, 'ucf.safetensors')
    tensors, _ = read_adapter(tmp_path / 'ucf.safetensors')
    assert (tensors['backbone.after_attn.0.fc1.bias'] - 3).abs().max() < 0.01  # from Kinetics
    # AdamW moves by the rate: 5e-5, a tenth of the recipe's, in the second step, half in the third
    assert 2e-5 < tensors['backbone.after_attn.0.conv.weight'].abs().max() < 1.5e-4
    assert tensors['cls_head.fc_cls.weight'].shape == (2, 32)
    said = call('test', 'mine.py', checkpoint, '--cfg-options', 'split=2')
    assert re.search(r'acc/top1: (0\.0|0\.5|1\.0)000', said)
