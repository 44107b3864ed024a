"""Text towers read their pretrained file, freeze, and stay out of checkpoints when frozen."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from mmstadapter import CLIPText, EVAText
from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.testing import TINY_TEXT_ARCH, fill, write_clip_file

IDS = torch.tensor([[12, 3, 5, 13, 0], [12, 1, 2, 4, 13]])


@pytest.fixture
def clip_file(tmp_path):
    return write_clip_file(tmp_path / 'clip.safetensors', seed=1)


def model(checkpoint: str | None, tune: str = 'none', **settings) -> nn.ModuleDict:
    """A text tower inside something else, as a retriever holds it."""
    tower = CLIPText(TINY_TEXT_ARCH, checkpoint, tune, **settings)
    return nn.ModuleDict(dict(text_tower=tower, head=nn.Linear(16, 2)))


def read(model: nn.ModuleDict) -> nn.ModuleDict:
    model['text_tower'].init_weights()
    return model


@torch.no_grad()
def sentences(model: nn.ModuleDict) -> torch.Tensor:
    return model['text_tower'](IDS)[0]


def test_the_trunks_file_supplies_the_text_tower(clip_file):
    held = load_file(clip_file)
    for name, tensor in read(model(clip_file))['text_tower'].state_dict().items():
        assert torch.equal(tensor, held[name])


def test_a_tower_whose_file_was_not_read_refuses_to_guess(clip_file):
    with pytest.raises(RuntimeError, match='have not been read.*a random text tower'):
        sentences(model(clip_file))


def test_a_file_of_another_size_is_refused(clip_file):
    tower = CLIPText(TINY_TEXT_ARCH | dict(embed_dims=48), clip_file)
    with pytest.raises(RuntimeError, match='arch and checkpoint belong together'):
        tower.init_weights()


def test_every_value_comes_from_the_file(clip_file):
    tower = read(model(clip_file, 'all', dtype='float16'))['text_tower']
    for name, parameter in tower.named_parameters():
        assert parameter.dtype == torch.float32 and parameter.requires_grad
        assert torch.equal(parameter, load_file(clip_file)[name])


def test_it_is_trained_unless_frozen(clip_file):
    trained, frozen = model(None, 'all')['text_tower'], model(None)['text_tower']
    assert all(p.requires_grad for p in trained.parameters()) and trained.train().training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not frozen.train().training


class TestTunedCheckpoint:
    def test_leaves_a_frozen_tower_out_and_gets_it_back(self, clip_file):
        ours = read(model(clip_file))
        kept = drop_frozen(ours, ours.state_dict())
        assert kept.keys() == {'head.weight', 'head.bias', 'text_tower.fingerprint'}
        again = model(clip_file)
        again.load_state_dict(kept)
        assert torch.equal(sentences(again), sentences(ours))

    def test_holds_a_trained_tower(self, clip_file):
        ours = read(model(clip_file, 'all'))
        assert drop_frozen(ours, ours.state_dict()).keys() == ours.state_dict().keys()
        fill(ours['text_tower'], seed=5)
        again = model(clip_file, 'all')
        again.load_state_dict(drop_frozen(ours, ours.state_dict()))
        assert torch.equal(sentences(again), sentences(ours))

    def test_of_another_tower_is_refused(self, clip_file, tmp_path):
        ours = read(model(clip_file))
        other = model(write_clip_file(tmp_path / 'other.safetensors', seed=2))
        match = 'trained on another text tower.*model.text_tower.checkpoint'
        with pytest.raises(RuntimeError, match=match):
            other.load_state_dict(drop_frozen(ours, ours.state_dict()))

    def test_needs_a_file_to_supply_the_tower(self, clip_file):
        ours = read(model(clip_file))
        with pytest.raises(RuntimeError, match='the text tower has no pretrained file'):
            model(None).load_state_dict(drop_frozen(ours, ours.state_dict()))


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
class TestSixteenBits:
    def test_stored_so_it_computes_in_float32(self, clip_file, dtype):
        half, whole = (read(model(clip_file, dtype=t)) for t in (dtype, None))
        assert half['text_tower'].token_embedding.weight.dtype == getattr(torch, dtype)
        tolerance = (
            dict(atol=0.05, rtol=0.05) if dtype == 'bfloat16' else dict(atol=5e-3, rtol=5e-3)
        )
        assert sentences(half).dtype == torch.float32
        assert_close(sentences(half), sentences(whole), **tolerance)

    def test_autocast_trains_float32_weights(self, clip_file, dtype):
        ours = read(model(clip_file, 'all'))
        with torch.autocast('cpu', getattr(torch, dtype)):
            found, words = ours['text_tower'](IDS)
            (found.float().square().sum() + words.float().square().sum()).backward()
        assert found.dtype == words.dtype == getattr(torch, dtype)
        assert_close(found.float(), sentences(ours), atol=0.1, rtol=0.1)
        grads = [p.grad for p in ours['text_tower'].parameters()]
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in grads)

    def test_autocast_reads_a_tower_stored_so(self, clip_file, dtype):
        ours = read(model(clip_file, dtype=dtype))
        with torch.autocast('cpu', torch.bfloat16):
            found = sentences(ours)
        assert_close(found.float(), sentences(ours), atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ('tower', 'arch', 'millions', 'dims'),
    [
        (CLIPText, 'clip-b', 63.428096, 512),
        (CLIPText, 'clip-l', 123.650304, 768),
        (EVAText, 'eva-e', 354.032640, 1024),
        (EVAText, 'eva-e-plus', 694.332160, 1024),
    ],
)
def test_named_archs_have_the_sizes_of_the_models(tower, arch, millions, dims):
    with torch.device('meta'):
        built = tower(arch)
    assert built.joint_dims == dims
    assert sum(p.numel() for p in built.parameters()) == round(millions * 1e6)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='clip-xl'), "unknown arch 'clip-xl'; choose from clip-b, clip-l"),
        (dict(arch=dict(embed_dims=8)), "missing .'num_layers'"),
        (dict(arch=TINY_TEXT_ARCH | dict(depth=2)), "unknown .'depth'"),
        (dict(arch=TINY_TEXT_ARCH, tune='last_1'), 'tune must be one of none, all'),
        (dict(arch=TINY_TEXT_ARCH, activation='relu'), 'activation must be one of'),
        (dict(arch=TINY_TEXT_ARCH, tune='none', dtype='int8'), 'dtype must be'),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CLIPText(**settings)
