"""Tiny trained models to share, and a stand-in of the hub: its cache and its uploads."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmstadapter import create_model
from mmstadapter.engine.tuned_checkpoint import write_adapter
from mmstadapter.testing import tiny_retriever, tiny_text, tiny_trunk, write_clip_file

LABELS = ['climbing', 'day light', 'falls <b>|']
STEPS = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleStride', clip_len=8, frame_interval=2, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=32),
    dict(type='mmstadapter.SpatialViews', size=32, num_crops=1),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
REVISION = 'c' * 40


def tuned(model: torch.nn.Module) -> torch.nn.Module:
    """The model as after a training."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return model


def recipe(trunk_file: str | None) -> Config:
    """ST-Adapter on the tiny trunk, three classes, one view of eight frames, 32 pixels."""
    trunk = tiny_trunk(checkpoint=trunk_file)
    model = dict(
        type='Recognizer3D',
        data_preprocessor=dict(
            type='ActionDataPreprocessor',
            mean=[122.77, 116.75, 104.09],
            std=[68.5, 66.63, 70.32],
            format_shape='NCTHW',
        ),
        backbone=dict(type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=8),
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=3, topk=(1,)),
    )
    return Config(
        dict(
            default_scope='mmaction',
            custom_imports=dict(imports=['mmstadapter'], allow_failed_imports=False),
            model=model,
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
            train_dataloader=dict(dataset=dict(ann_file=f'{trunk_file}/train.txt')),
            test_dataloader=dict(dataset=dict(type='mmstadapter.VideoDataset', pipeline=STEPS)),
        )
    )


@pytest.fixture(scope='session')
def home(tmp_path_factory) -> Path:
    """A folder of this machine that is nobody's business, with a tiny CLIP and an adapter."""
    home = tmp_path_factory.mktemp('private')
    made = recipe(write_clip_file(home / 'clip.safetensors', seed=4))
    write_adapter(home / 'adapter.safetensors', tuned(create_model(made)), made, labels=LABELS)
    return home


@pytest.fixture
def file(home) -> str:
    """The CLIP's file, to read."""
    return str(home / 'clip.safetensors')


@pytest.fixture
def adapter(home) -> Path:
    """The adapter file, to read."""
    return home / 'adapter.safetensors'


@pytest.fixture
def model(file):
    """The same trained classifier."""
    return tuned(create_model(recipe(file)))


@pytest.fixture
def retriever(file):
    """A trained retriever, whose towers are of one file."""
    config = Config(
        dict(
            default_scope='mmaction',
            model=tiny_retriever(
                backbone=dict(
                    type='mmstadapter.STAdapterViT',
                    trunk=tiny_trunk(with_proj=True, checkpoint=file),
                    bottleneck_dims=8,
                    output='frames',
                ),
                text_tower=tiny_text(checkpoint=file, tune='none'),
            ),
            test_dataloader=dict(dataset=dict(pipeline=STEPS)),
        )
    )
    return tuned(create_model(config))


def cached(cache: Path, repository: str, folder: Path) -> Path:
    """The folder's files as huggingface_hub keeps them; the folder of links."""
    root = cache / f'models--{repository.replace("/", "--")}'
    links = root / 'snapshots' / REVISION
    for path in ('blobs', 'refs', f'snapshots/{REVISION}'):
        (root / path).mkdir(parents=True)
    (root / 'refs/main').write_text(REVISION)
    for path in folder.iterdir():
        blob = root / 'blobs' / sha256(path.read_bytes()).hexdigest()
        blob.write_bytes(path.read_bytes())
        (links / path.name).symlink_to(os.path.relpath(blob, links))
    return links


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty offline cache of the hub; ``hub(name, folder)`` puts a repository into it."""
    constants = pytest.importorskip('huggingface_hub.constants')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    return lambda name, folder: cached(tmp_path / 'hub', name, folder)


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """What is sent lands in folders below this one; ``made`` notes how repositories were made."""
    hub = pytest.importorskip('huggingface_hub')
    place = tmp_path / 'sent'

    def create_repo(api, repo_id, **options):
        (place / repo_id).mkdir(parents=True, exist_ok=options['exist_ok'])
        (place / repo_id / '.options').write_text(str(options))

    def upload_folder(api, *, repo_id, folder_path, **options):
        shutil.copytree(folder_path, place / repo_id, dirs_exist_ok=True)
        return f'https://huggingface.co/{repo_id}/commit/{REVISION}'

    monkeypatch.setattr(hub.HfApi, 'create_repo', create_repo)
    monkeypatch.setattr(hub.HfApi, 'upload_folder', upload_folder)
    return place
