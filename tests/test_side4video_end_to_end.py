"""The shipped Side4Video recipe trains on video files: copies, BatchNorm, views, checkpoint."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmstadapter import shipped
from mmstadapter.launch import build_runner
from mmstadapter.testing import tiny_trunk, write_clip_file

SIZES = {'PILResize': (36, 40), 'PILRandomSquare': 32, 'SpatialViews': 32}


def write_videos(folder: Path, count: int = 6) -> None:
    """Grey clips that get lighter (label 0) or darker (label 1), and their list."""
    for i in range(count):
        with av.open(str(folder / f'{i}.mp4'), 'w') as container:
            stream = container.add_stream('libx264', rate=12)
            stream.width, stream.height, stream.pix_fmt = 48, 40, 'yuv420p'
            stream.options = {'x264-params': 'log-level=error'}
            for level in np.linspace(40, 200, 12)[:: 1 - 2 * (i % 2)]:
                image = np.full((40, 48, 3), level + i, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
            container.mux(stream.encode())
    lines = [f'{i}.mp4 {86 + i % 2}' for i in range(count)]
    (folder / 'list.txt').write_text('\n'.join(lines))


def at_toy_size(config: Config, folder: Path) -> Config:
    """The recipe on the tiny trunk, small squares and the files of a folder, one epoch."""
    checkpoint = write_clip_file(folder / 'clip.safetensors')
    config.model.backbone.trunk = tiny_trunk(checkpoint=checkpoint)
    config.model.backbone.side_dims = config.model.cls_head.in_channels = 64
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config[name]
        loader.update(num_workers=0, batch_size=3 if name.startswith('train') else 1)
        loader.dataset.update(
            ann_file=str(folder / 'list.txt'), data_prefix=dict(video=str(folder))
        )
        for step in loader.dataset.pipeline:
            kind = step.type.split('.')[-1]
            step.update({'size': SIZES[kind]} if kind in SIZES else {})
    config.train_cfg.max_epochs = 1
    config.param_scheduler[0].update(warmup=0.5, update_interval=1)
    config.work_dir = str(folder / 'work')
    config.launcher = 'none'
    return config


class SeenBatches(Hook):
    """Keep the number of clips and the labels of every training batch."""

    def __init__(self) -> None:
        self.clips: list[int] = []
        self.labels: set[int] = set()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Look at the batch."""
        self.clips.append(len(data_batch['inputs']))
        self.labels |= {s.gt_label.item() for s in data_batch['data_samples']}


@pytest.mark.slow
def test_the_something_something_recipe_trains_and_tests(tmp_path):
    write_videos(tmp_path)
    config = Config.fromfile(shipped.config('side4video_vit-b_ssv2.py'))
    runner = build_runner(at_toy_size(config, tmp_path))
    seen = SeenBatches()
    runner.register_hook(seen)
    model = runner.train()
    assert seen.clips == [6, 6]  # three videos, two clips of each
    assert seen.labels <= {86, 87}

    metrics = runner.test()  # two clips of three squares
    assert 0 <= metrics['acc/top1'] <= 1
    (path,) = (tmp_path / 'work').glob('epoch_1.pth')
    kept = torch.load(path, weights_only=False)['state_dict']
    assert kept['backbone.side.stem.norm.num_batches_tracked'] == 2
    assert not [k for k in kept if k.startswith('backbone.trunk.transformer')]
    for name, value in model.state_dict().items():
        if 'running' in name:
            assert torch.equal(kept[name], value.cpu())
