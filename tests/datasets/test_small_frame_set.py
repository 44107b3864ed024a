"""Something-Something V1 from frames to a score, with a short and a damaged folder."""

import json
import re
from pathlib import Path

import pytest
import torch

from mmstadapter import shipped
from mmstadapter.testing import write_clip_file

from .conftest import write_frames
from .test_small_data_set import ARCH, call  # noqa: F401

CONFIG = f"""
_base_ = 'mmstadapter::side4video_vit-b_ssv1.py'
trunk = dict(arch=dict(_delete_=True, **{ARCH}), checkpoint='clip.safetensors', dtype=None)
model = dict(backbone=dict(side_dims=64, trunk=trunk), cls_head=dict(in_channels=64))
train_dataloader = dict(batch_size=2, num_workers=2)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
train_cfg = dict(max_epochs=1)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=0)]
"""


def lay_out(root: Path) -> None:
    """Six training and two validation folders; number 3 is short, number 5 damaged."""
    labels = (shipped.root() / 'tools/data/sthv1/labels.txt').read_text().splitlines()
    notes = root / 'annotations'
    notes.mkdir(parents=True)
    for number in range(1, 9):
        frames = 6 if number == 3 else 10 + number
        write_frames(root / f'rawframes/{number}', frames, size=(100, 132))
    for image in (root / 'rawframes/5').iterdir():
        image.write_bytes(b'damaged')
    lines = [f'{n + 1};{labels[k]}' for n, k in enumerate((86, 87, 93, 94, 166, 167, 5, 6))]
    parts = dict(labels=reversed(labels), train=lines[:6], validation=lines[6:])
    for name, part in parts.items():
        (notes / f'something-something-v1-{name}.csv').write_text('\n'.join(part) + '\n')


@pytest.mark.slow
@pytest.mark.processes
def test_from_frames_to_a_score(call, tmp_path):  # noqa: F811
    lay_out(tmp_path / 'data/sthv1')
    (tmp_path / 'mine.py').write_text(CONFIG)
    write_clip_file(tmp_path / 'clip.safetensors', ARCH)

    said = call('prepare', 'sthv1')
    assert '1 of sthv1_train_list_frames.txt have fewer than 8 frames: 3 (6)' in said
    said = call('train', 'mine.py')
    assert '1 of 6 folders' in said and 'left out: data/sthv1/rawframes/3' in said
    assert 'Epoch(train) [1][3/3]' in said  # 5 folders, 2 a step

    folder = tmp_path / 'work_dirs/mine'
    state = torch.load(folder / 'epoch_1.pth')['state_dict']
    assert state['backbone.side.stem.norm.num_batches_tracked'] == 3
    bad = json.loads((folder / 'bad_videos_train_rank0.json').read_text())
    assert list(bad) == ['data/sthv1/rawframes/5']
    said = call('test', 'mine.py', folder / 'epoch_1.pth')
    assert re.search(r'Epoch\(test\) \[2/2\] .*acc/top1: (0\.0|0\.5|1\.0)000', said)
