"""The guess at time and memory follows the work that there is."""

import pytest
from mmengine.config import Config

from mmstadapter.apis.estimate import estimate
from mmstadapter.testing import tiny_trunk

from .test_fit_and_predict import write_video

pytestmark = pytest.mark.slow


def config(folder, batch_size: int = 4, max_epochs: int = 10) -> Config:
    steps = [
        dict(type='mmstadapter.VideoInit'),
        dict(type='mmstadapter.SampleSegments', clip_len=4),
        dict(type='mmstadapter.VideoDecode'),
        dict(type='mmstadapter.ResizeShortSide', size=32),
        dict(type='mmstadapter.SpatialViews', size=32, num_crops=1),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    dataset = dict(
        type='mmstadapter.VideoDataset', ann_file=str(folder / 'list.txt'), pipeline=steps,
        data_prefix=dict(video=str(folder)),
    )  # fmt: skip
    loader = dict(batch_size=batch_size, num_workers=0, dataset=dataset)
    model = dict(
        type='Recognizer3D',
        backbone=dict(type='mmstadapter.STAdapterViT', trunk=tiny_trunk(checkpoint='gone.pt')),
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=2),
        data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
    )
    return Config(
        dict(
            model=model, train_dataloader=loader, val_dataloader=loader, test_dataloader=loader,
            train_cfg=dict(max_epochs=max_epochs, val_interval=5),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        )
    )  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    write_video(folder / '0.mp4', 100)
    (folder / 'list.txt').write_text('0.mp4 0\n' * 8)
    return folder


def test_memory_grows_with_the_batch_and_needs_no_weights(folder):
    one, four, eight = (estimate(config(folder, size)).memory for size in (1, 4, 8))
    assert eight - four == pytest.approx(4 * (four - one) / 3) and one > 100_000


def test_time_grows_with_the_epochs(folder):
    found = estimate(config(folder, max_epochs=100_000))
    assert found.seconds > 10 * estimate(config(folder)).seconds
    assert found.device.startswith(('CPU', 'GPU'))
