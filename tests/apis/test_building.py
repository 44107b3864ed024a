"""One function builds a model and gives it weights, whatever kind of file they come in."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmstadapter.apis.building import build_model
from mmstadapter.commands import publish
from mmstadapter.engine.tuned_checkpoint import drop_frozen, read_adapter, write_adapter
from mmstadapter.testing import fill, tiny_trunk, write_clip_file


@pytest.fixture
def config(tmp_path) -> Config:
    """A tiny recogniser on a trunk with a file."""
    trunk = tiny_trunk(checkpoint=write_clip_file(tmp_path / 'clip.safetensors', seed=4))
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=8)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=3)
    return Config(dict(model=dict(type='Recognizer3D', backbone=backbone, cls_head=head)))


@pytest.fixture
def trained(config) -> torch.nn.Module:
    model = MODELS.build(config.model)
    model.init_weights()
    fill(model.cls_head, seed=2)
    return model


def as_whole(model, config, path):
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


def as_tuned(model, config, path):
    torch.save(dict(state_dict=drop_frozen(model, model.state_dict())), path)
    return path


def as_state(model, config, path):
    torch.save(model.state_dict(), path)
    return path


def as_adapter(model, config, path):
    write_adapter(path, model, config)
    return path


def as_tensors(model, config, path):
    return model.state_dict()


@pytest.mark.parametrize('write', [as_whole, as_tuned, as_state, as_adapter, as_tensors])
def test_every_kind_of_checkpoint_is_loaded(write, config, trained, tmp_path):
    model = build_model(config.model, write(trained, config, tmp_path / 'file'))
    assert not model.training
    expected = trained.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_pretrained_files_are_read_when_asked_for(config):
    assert build_model(config.model).backbone.trunk.source is None
    assert build_model(config.model, pretrained=True).backbone.trunk.source == 'pretrained'


def test_a_part_may_stay_as_it_was_built(config, trained, tmp_path):
    path = as_tuned(trained, config, tmp_path / 'tuned.pth')
    config.model.cls_head.num_classes = 7
    with pytest.raises(RuntimeError, match=r'tuned\.pth does not belong(.|\n)*cls_head'):
        build_model(config.model, path)
    model = build_model(config.model, path, without='cls_head')
    assert model.cls_head.fc_cls.weight.shape == (7, 32)
    assert torch.equal(model.cls_head.fc_cls.bias, torch.zeros(7))


def test_a_whole_checkpoint_is_published_without_its_trunk(config, trained, tmp_path, capsys):
    config.dump(tmp_path / 'mine.py')
    whole = as_whole(trained, config, tmp_path / 'whole.pth')
    words = [tmp_path / 'mine.py', whole, tmp_path / 'adapter.safetensors']
    publish.main([str(word) for word in words])
    tensors, _ = read_adapter(tmp_path / 'adapter.safetensors')
    assert [name for name in tensors if 'trunk' in name] == ['backbone.trunk.fingerprint']
