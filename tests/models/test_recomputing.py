"""What is computed again in the backward pass is chosen by one word, and changes no number."""

import pytest
import torch
from mmaction.registry import MODELS
from torch import nn

from mmstadapter.models.ops.clips import frames_seen
from mmstadapter.models.recomputing import STEPS, chosen_step
from mmstadapter.testing import fill, tiny_trunk, toy_clips

ST_ADAPTER = dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8)
SIDE = dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8)
MODELS_ = {
    'ST-Adapter': ST_ADAPTER | dict(positions=('before_attn', 'after_attn')),
    'ST-Adapter, all tuned': ST_ADAPTER | dict(kernel_size=(3, 3, 3), trunk=dict(tune='all')),
    'Side4Video': SIDE,
    'Side4Video, attention': SIDE | dict(temporal='attention', norm='post'),
    'Side4Video, all tuned': SIDE | dict(frames_per_pass=3, trunk=dict(tune='all')),
    'TDS-CLIP': dict(type='mmstadapter.TDSCLIPViT', side_dims=32, head_dims=16, num_diff=3),
    'AIM': dict(type='mmstadapter.AIMViT', time_in=True, drop_path_rate=0.5),
    'ZeroI2V': dict(type='mmstadapter.ZeroI2VViT', adapters=('attn_qkv', 'mlp_in', 'mlp_out')),
    'TempMe': dict(type='mmstadapter.TempMeViT', num_frames=4, merge_layers=[1], merge_frames=[2]),
    'EVL': dict(type='mmstadapter.EVLViT', blocks='last_2', dropout=0.5),
    'EVL, all tuned': dict(
        type='mmstadapter.EVLViT', temporal=['conv'], blocks='last_2', trunk=dict(tune='all')
    ),
    'DiST': dict(type='mmstadapter.DiSTViT', num_frames=8, dims=16, temporal_dims=8),
}


def build(name: str, **options) -> nn.Module:
    config = MODELS_[name] | options
    trunk = tiny_trunk() | config.get('trunk', {})
    return fill(MODELS.build(config | dict(trunk=trunk))).train()


def outcome(model: nn.Module) -> list[torch.Tensor]:
    """Output, gradients of what is tuned, and buffers."""
    torch.manual_seed(0)
    out = model(toy_clips(num_frames=frames_seen(model, 4)))
    tuned = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(out.square().sum(), tuned)
    return [out, *grads, *model.buffers()]


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS_)
def test_every_step_gives_the_same_numbers(name):
    expected = outcome(build(name))
    for step in STEPS:
        torch.testing.assert_close(outcome(build(name, recompute=step)), expected)


def kept(model: nn.Module) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights aside."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = model(toy_clips(num_frames=frames_seen(model, 4)))
    assert out.requires_grad
    return sum(found.values())


@pytest.mark.slow
@pytest.mark.parametrize('name', [n for n in MODELS_ if 'EVL' not in n and n != 'DiST'])
def test_every_step_keeps_less_than_the_one_before(name):
    sizes = [kept(build(name, recompute=step)) for step in STEPS]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes[1:])) == len(STEPS) - 1


def test_nothing_is_recomputed_without_gradients(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('recomputed')

    monkeypatch.setattr('mmstadapter.models.recomputing.checkpoint', refuse)
    with torch.no_grad():
        build('ST-Adapter', recompute='attention')(toy_clips())


def test_a_step_can_be_changed_and_reaches_the_parts_within():
    model = build('Side4Video')
    assert model.recompute == model.side.recompute == 'elementwise'
    model.recompute = 'mlp'
    assert [block.recompute for block in model.side.blocks] == ['mlp'] * 3
    with pytest.raises(ValueError, match='recompute must be one of nothing, .*, block, got 1'):
        model.recompute = 1


@pytest.mark.parametrize('name', ['ST-Adapter', 'Side4Video', 'AIM', 'ZeroI2V', 'EVL', 'DiST'])
def test_with_cp_is_another_word_for_block(name):
    assert build(name, with_cp=True).recompute == 'block'
    model = build(name, recompute='mlp', with_cp=False)
    assert not model.with_cp
    model.with_cp = True
    assert model.recompute == 'block'


@pytest.mark.parametrize(
    'recompute, with_cp, step',
    [
        *((None, False, 'elementwise'), (None, True, 'block'), (None, None, 'elementwise')),
        *(('block', True, 'block'), ('mlp', False, 'mlp'), ('nothing', None, 'nothing')),
    ],
)
def test_two_words_for_one_thing_agree(recompute, with_cp, step):
    assert chosen_step(recompute, with_cp, 'AIMViT') == step


@pytest.mark.parametrize('recompute, with_cp', [('mlp', True), ('block', False)])
def test_two_words_that_say_different_things_are_refused(recompute, with_cp):
    with pytest.raises(ValueError, match=f"AIMViT: recompute='{recompute}' and with_cp={with_cp}"):
        chosen_step(recompute, with_cp, 'AIMViT')
