"""One probe of a trained grid is published as a model of its own."""

import shutil
from pathlib import Path

import pytest
import torch
from mmaction.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmstadapter
from mmstadapter import shipped
from mmstadapter.apis.building import build_model
from mmstadapter.apis.one_probe import take_probe
from mmstadapter.commands import publish, train
from mmstadapter.engine.tuned_checkpoint import read_adapter
from mmstadapter.testing import tiny_trunk, write_clip_file

from ..datasets.conftest import write_video

pytestmark = pytest.mark.slow

NAMES = ['lr0.01_wd0.01', 'lr0.001_wd0.01', 'lr0.01_wd0.8', 'lr0.001_wd0.8']


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A grid of four probes, trained for two epochs on four videos, and validated after each."""
    folder = tmp_path_factory.mktemp('grid')
    names = [write_video(folder / f'{i}.mp4', 24 + i, (32, 32)).name for i in range(4)]
    (folder / 'list.txt').write_text(''.join(f'{n} {i % 2}\n' for i, n in enumerate(names)))
    trunk = tiny_trunk(checkpoint=write_clip_file(folder / 'clip.safetensors', seed=4))
    config = Config.fromfile(shipped.config('probe_vit-tiny_demo-motion.py'))
    config.model.backbone.update(trunk=trunk, num_heads=2, num_probes=4)
    rates = dict(lrs=(1e-2, 1e-3), weight_decays=(0.01, 0.8))
    config.model.cls_head = dict(
        type='mmstadapter.ProbesHead', in_channels=32, num_classes=2, topk=(1,), **rates
    )
    for kind in ('train', 'val', 'test'):
        loader = config[f'{kind}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(
            ann_file='list.txt', data_root=str(folder), data_prefix=dict(video='.'), num_classes=2
        )
    top1 = dict(top_k_accuracy=dict(topk=(1,)))
    config.val_evaluator = dict(type='mmstadapter.ProbesMetric', metric_options=top1)
    config.test_evaluator = config.val_evaluator
    config.optim_wrapper.constructor = 'mmstadapter.ProbesOptimWrapperConstructor'
    config.optim_wrapper.pop('clip_grad', None)
    config.train_cfg.update(max_epochs=2, val_interval=1)
    config.default_hooks.heartbeat = None
    given = config.to_dict().items()
    (folder / 'grid.py').write_text('\n'.join(f'{name} = {value!r}' for name, value in given))
    train.main([str(folder / 'grid.py'), '--work-dir', str(folder / 'run')])
    return folder


def publish_one(folder: Path, out: Path, probe: str, checkpoint: str = 'run/epoch_2.pth') -> Path:
    publish.main([str(folder / 'grid.py'), str(folder / checkpoint), str(out), '--probe', probe])
    return out


def in_the_grid(folder: Path, clips: torch.Tensor) -> torch.Tensor:
    """What all probes make of the views of a video, (P, classes)."""
    config = Config.fromfile(folder / 'grid.py')
    model = build_model(config.model, folder / 'run/epoch_2.pth')
    with torch.no_grad():
        feats, options = model.extract_feat(clips[:, None])
        return model.cls_head(feats, **options).softmax(-1).mean(0)


@pytest.mark.parametrize('index, probe', [(0, '0'), (2, '2'), (3, NAMES[3])])
def test_it_predicts_as_it_did_in_the_grid(index, probe, folder, tmp_path):
    adapter = publish_one(folder, tmp_path / 'one.safetensors', probe)
    predictor = mmstadapter.Predictor(adapter)
    video = folder / '1.mp4'
    (found,) = predictor(video)
    model = mmstadapter.create_model(folder / 'grid.py', checkpoint=folder / 'run/epoch_2.pth')
    expected = in_the_grid(folder, model.transform(video))
    assert len({tuple(row.tolist()) for row in expected}) == 4
    torch.testing.assert_close(
        torch.tensor(found['scores']), expected[index].sort(descending=True).values
    )


def test_the_file_holds_this_probe_alone_and_says_which(folder, tmp_path, capsys):
    tensors, header = read_adapter(publish_one(folder, tmp_path / 'one.safetensors', '1'))
    assert header['probe'] == NAMES[1] and f'probe {NAMES[1]}' in capsys.readouterr().out
    assert {name.split('.')[2] for name in tensors if '.probes.' in name} == {'0'}
    assert header['config']['optim_wrapper']['optimizer']['lr'] == 1e-3
    assert header['config']['optim_wrapper']['optimizer']['weight_decay'] == 0.01


def test_its_config_tests_one_probe(folder):
    grid = Config.fromfile(folder / 'grid.py')
    config = take_probe(grid, folder / 'run/epoch_2.pth', '1').config
    init_default_scope('mmaction')
    assert isinstance(MODELS.build(config.model).cls_head, mmstadapter.VideoHead)
    assert type(METRICS.build(config.test_evaluator)).__name__ == 'VideoAccMetric'
    assert grid.model.backbone.num_probes == 4, 'the given config was changed'


def write_validation(folder: Path, top1: list[float]) -> None:
    """A log of validations after epochs 1 and 2, the second with these results."""
    (folder / '20260101' / 'vis_data').mkdir(parents=True)
    rows = [dict(iter=2, epoch=1, step=2), dict(iter=4, epoch=2, step=4)]
    for epoch, values in ((1, [0.9, 0.1, 0.1, 0.1]), (2, top1)):
        given = {f'{n}/acc/top1': v for n, v in zip(NAMES, values, strict=True)}
        rows.insert(2 * epoch - 1, given | dict(step=epoch))
    lines = '\n'.join(str(row).replace("'", '"') for row in rows)
    (folder / '20260101/vis_data/scalars.json').write_text(lines)


def test_the_best_is_that_of_the_validation_at_the_checkpoints_epoch(folder, tmp_path):
    shutil.copy(folder / 'run/epoch_2.pth', tmp_path / 'epoch_2.pth')
    write_validation(tmp_path, [0.2, 0.5, 0.7, 0.7])
    out = publish_one(folder, tmp_path / 'one.safetensors', 'best', str(tmp_path / 'epoch_2.pth'))
    assert read_adapter(out)[1]['probe'] == NAMES[2]


def test_the_best_is_read_from_what_a_run_logs(folder, tmp_path):
    out = publish_one(folder, tmp_path / 'one.safetensors', 'best')
    assert read_adapter(out)[1]['probe'] in NAMES


@pytest.mark.parametrize(
    'probe, said', [('4', 'from 0 to 3'), ('-1', 'from 0 to 3'), ('lr1_wd1', 'lr0.001_wd0.8')]
)
def test_a_probe_that_is_not_there_is_refused_with_those_there_are(
    probe, said, folder, tmp_path, capsys
):
    with pytest.raises(SystemExit):
        publish.main(
            [
                *map(str, (folder / 'grid.py', folder / 'run/epoch_2.pth')),
                *(str(tmp_path / 'one.safetensors'), f'--probe={probe}'),
            ]
        )
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'one.safetensors').exists()


def test_without_a_log_of_its_validation_there_is_no_best(folder, tmp_path, capsys):
    shutil.copy(folder / 'run/epoch_2.pth', tmp_path / 'moved.pth')
    with pytest.raises(SystemExit):
        publish_one(folder, tmp_path / 'one.safetensors', 'best', str(tmp_path / 'moved.pth'))
    assert 'there is none of it' in capsys.readouterr().err


def test_a_config_of_another_grid_or_of_none_is_refused(folder, tmp_path, capsys):
    grid, words = (folder / 'grid.py').read_text(), []
    for name, old, new in (
        ('fewer', "'lrs': (0.01, 0.001)", "'lrs': (0.01,)"),
        ('none', "'mmstadapter.ProbesHead'", "'mmstadapter.VideoHead'"),
    ):
        assert old in grid
        (tmp_path / f'{name}.py').write_text(grid.replace(old, new))
        with pytest.raises(SystemExit):
            publish.main(
                [
                    *map(str, (tmp_path / f'{name}.py', folder / 'run/epoch_2.pth')),
                    *(str(tmp_path / 'one.safetensors'), '--probe', '0'),
                ]
            )
        words.append(capsys.readouterr().err)
    assert 'holds 4 probes and the config 2' in words[0]
    assert 'must be ProbesHead' in words[1]
