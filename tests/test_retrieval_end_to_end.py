"""A user's retrieval config of a few lines trains on captioned videos, and is tested."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmstadapter.testing import TINY_ARCH, TINY_TEXT_ARCH, TINY_WORDS, write_clip_file

from .datasets.conftest import write_video

pytestmark = pytest.mark.processes

USER_CONFIG = """
_base_ = 'mmstadapter::{base}'
tiny = dict(_delete_=True, type='mmstadapter.CLIPViT', arch={arch}, checkpoint='{checkpoint}',
            with_proj=True, tune='{tune}')
model = dict(
    backbone=dict(trunk=tiny, {backbone}),
    text_tower=dict(_delete_=True, type='mmstadapter.CLIPText', arch={text}),
    tokenizer=dict(_delete_=True, type='mmstadapter.WordTokenizer', words={words},
                   context_length=8),
    similarity=dict({similarity}), num_frames=4)
small = dict(SampleSpread=dict(clip_len=4), PILResize=dict(size=32), SpatialViews=dict(size=32))
train_pipeline, test_pipeline = (
    [dict(step, **small.get(step['type'].partition('.')[2], dict())) for step in steps]
    for steps in (_base_.train_pipeline, _base_.test_pipeline))
data = dict(data_root='{data}', ann_file='captions.json')
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(num_workers=0, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2)
default_hooks = dict(logger=dict(interval=1))
"""
CAPTIONS = {
    f'{number}.mp4': [f'the {who} {what}', f'a {who} {what} to the left']
    for number, (who, what) in enumerate(
        (who, what) for who in ('cat', 'dog') for what in ('falls', 'jumps', 'sleeps')
    )
}


def tool(name: str, *arguments, cwd: Path, processes: int = 1) -> str:
    """Run a command from another folder; what it printed."""
    launch = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
    start = launch if processes > 1 else []
    command = [sys.executable, *start, '-m', 'mmstadapter', name, *map(str, arguments)]
    if processes > 1:
        command += ['--launcher', 'pytorch']
    environment = os.environ | dict(OMP_NUM_THREADS='1')
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def figures(out: str) -> dict[str, float]:
    """The last metrics that were logged."""
    line = [line for line in out.splitlines() if 'retrieval/t2v/R1' in line][-1]
    return {k: float(v) for k, v in re.findall(r'(retrieval/\w+/\w+): (-?[\d.]+)', line)}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Six captioned videos, one of them broken, and two configs."""
    folder = tmp_path_factory.mktemp('retrieval')
    (folder / 'data/videos').mkdir(parents=True)
    for number in range(len(CAPTIONS)):
        write_video(folder / f'data/videos/{number}.mp4', frames=9 + 11 * number, size=(48, 64))
    (folder / 'data/videos/5.mp4').write_bytes(b'broken')
    (folder / 'data/captions.json').write_text(json.dumps(CAPTIONS))
    parts = dict(
        arch=TINY_ARCH,
        text=TINY_TEXT_ARCH,
        words=TINY_WORDS,
        checkpoint=write_clip_file(folder / 'clip.safetensors', seed=4),
        data=folder / 'data',
    )
    side = dict(
        backbone='side_dims=16, head_dims=8', similarity='embed_dims=16', tune='after_blocks'
    )
    text = USER_CONFIG.format(base='side4video_vit-b_msrvtt.py', **side, **parts)
    (folder / 'mine.py').write_text(text)
    zero = dict(backbone='', similarity='', tune='none')
    text = USER_CONFIG.format(base='zeroshot_vit-b_vatex.py', **zero, **parts)
    (folder / 'zero.py').write_text(text)
    return folder


@pytest.fixture(scope='module')
def trained(folder):
    """What was printed while training two epochs of twelve pairs on two processes."""
    return tool('train', 'mine.py', cwd=folder, processes=2)


@pytest.fixture(scope='module')
def tested(trained, folder):
    """What was printed while testing the last checkpoint on one process."""
    return tool('test', 'mine.py', 'work_dirs/mine/epoch_2.pth', cwd=folder)


def test_training_takes_the_released_optimizer_groups(trained):
    groups = re.findall(r'lr (\S+), weight decay (\S+)', trained)
    assert {('1e-07', '0.2'), ('1e-07', '0'), ('0.0001', '0.2'), ('0.0001', '0')} == set(groups)


def test_captions_are_what_an_epoch_counts(trained):
    assert 'Epoch(train) [2][1/1]' in trained  # 12 captions in batches of 2 x 4, the rest left out


def test_the_checkpoint_lacks_the_frozen_trunk_alone(trained, folder):
    file = folder / 'work_dirs/mine/epoch_2.pth'
    state = torch.load(file, weights_only=True)['state_dict']
    trunk = {name.removeprefix('backbone.trunk.') for name in state if '.trunk.' in name}
    assert trunk == {'fingerprint', 'ln_post.weight', 'ln_post.bias', 'proj'}
    parts = {name.split('.')[0] for name in state}
    assert parts == {'backbone', 'text_tower', 'similarity', 'logit_scale'}


def test_a_resumed_run_is_bit_equal_to_one_in_one_go(trained, folder):
    start = folder / 'work_dirs/mine/epoch_1.pth'
    tool('train', 'mine.py', '--resume', start, '--work-dir', 'again', cwd=folder, processes=2)
    one, other = (
        torch.load(folder / place / 'epoch_2.pth', weights_only=False)
        for place in ('work_dirs/mine', 'again')
    )
    assert 'backbone.side.stem.norm.running_var' in one['state_dict']
    for name in ('state_dict', 'optimizer'):
        torch.testing.assert_close(other[name], one[name], rtol=0, atol=0)
    moments = one['optimizer']['state'].values()
    assert any((m['exp_avg'] != 0).any() for m in moments)


def test_one_process_gives_the_figures_of_two(trained, tested):
    assert figures(tested) == pytest.approx(figures(trained), abs=1e-3)
    assert {'retrieval/t2v/R1', 'retrieval/v2t/R1', 'retrieval/t2v/MdR'} <= set(figures(tested))
    assert figures(trained)['retrieval/t2v/queries'] == 12
    assert figures(trained)['retrieval/v2t/queries'] == 6


def test_a_broken_video_is_reported_and_never_found(trained, tested):
    assert '1 of 6 val videos could not be decoded' in trained
    assert '5.mp4: cannot be opened' in tested
    assert figures(tested)['retrieval/t2v/R5'] <= 100 * 5 / 6 + 1e-4


def test_zero_shot_needs_no_checkpoint(folder):
    out = tool('test', 'zero.py', 'none', cwd=folder)
    assert 'retrieval/v2t/MnR' in figures(out)
