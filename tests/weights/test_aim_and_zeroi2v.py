"""Official AIM and ZeroI2V checkpoints: there and back, onto our models, and what is refused."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner import load_checkpoint
from torch import nn

from mmstadapter.commands.convert import main
from mmstadapter.testing import toy_clips
from mmstadapter.weights import from_ours, read_tensors, to_ours

REFERENCE = Path(__file__).parents[1] / 'reference/parity'
CASES = {
    'aim': 'aim_1_one_temporal',
    'aim-imagenet': 'aim_4_imagenet_rectangle',
    'zeroi2v': 'zeroi2v_1_one_head_each_way',
}


def official(source: str) -> dict[str, torch.Tensor]:
    """The official state dict of a parity case, in float32."""
    tensors = read_tensors(REFERENCE / f'{CASES[source]}.safetensors')
    return {k[6:]: v.float() for k, v in tensors.items() if k.startswith('param/')}


def convert(*arguments) -> None:
    origin, target, src, dst = map(str, arguments)
    main(['--from', origin, '--to', target, src, dst])


@pytest.mark.parametrize('source', CASES)
def test_a_checkpoint_of_mmaction_comes_back_as_it_was(source, tmp_path):
    given = official(source)
    src, ours, back = (tmp_path / f'{name}.pth' for name in ('official', 'ours', 'back'))
    torch.save(dict(meta=dict(epoch=30, iter=1), state_dict=given, optimizer={}), src)
    convert(source, 'mmstadapter', src, ours)
    state = torch.load(ours, weights_only=True)['state_dict']
    assert state['backbone.time_embed'].ndim == 2 and len(state) == len(given)
    convert('mmstadapter', source, ours, back)
    again = torch.load(back, weights_only=True)['state_dict']
    assert again.keys() == given.keys()
    assert all(torch.equal(again[name], given[name]) for name in given)


@pytest.mark.parametrize('source', CASES)
def test_a_name_of_another_model_is_refused(source):
    with pytest.raises(KeyError, match=f"{source}: no rule for 'backbone.transformer.new'"):
        to_ours(source, official(source) | {'backbone.transformer.new': torch.zeros(1)})
    with pytest.raises(KeyError, match='from ours: no rule for'):
        from_ours(source, {'backbone.after_attn.0.fc1.weight': torch.zeros(1)})


@pytest.mark.parametrize('shape', [(4, 32), (2, 4, 32)])
def test_time_positions_of_another_shape_are_refused(shape, tmp_path, capsys):
    torch.save(
        official('aim') | {'backbone.temporal_embedding': torch.zeros(shape)}, tmp_path / 'a'
    )
    with pytest.raises(SystemExit):
        convert('aim', 'mmstadapter', tmp_path / 'a', tmp_path / 'b.pth')
    assert 'time positions must be (1, frames, width), got' in capsys.readouterr().err
    assert not (tmp_path / 'b.pth').exists()


def recogniser(**options) -> nn.Module:
    """The model of the ZeroI2V case."""
    arch = dict(img_size=24, patch_size=8, embed_dims=32, num_layers=2, num_heads=4)
    trunk = dict(type='mmstadapter.CLIPViT', arch=arch, tune='after_blocks')
    options = dict(num_frames=4, shifts=[(-1, 4), (1, 4)]) | options
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=6)
    backbone = dict(type='mmstadapter.ZeroI2VViT', trunk=trunk, **options)
    return MODELS.build(dict(type='Recognizer3D', backbone=backbone, cls_head=head)).eval()


def test_a_converted_file_loads_strictly_and_gives_the_official_logits(tmp_path):
    torch.save(dict(state_dict=official('zeroi2v')), tmp_path / 'official.pth')
    convert('zeroi2v', 'mmstadapter', tmp_path / 'official.pth', tmp_path / 'ours.safetensors')
    model = recogniser()
    load_checkpoint(model, str(tmp_path / 'ours.safetensors'), strict=True)
    tensors = read_tensors(REFERENCE / f'{CASES["zeroi2v"]}.safetensors')
    logits = model.cls_head(model.backbone(tensors['input'].float()))
    torch.testing.assert_close(logits, tensors['eval/logits'], atol=1e-5, rtol=0)


def test_a_merged_official_file_is_the_model_without_adapters():
    tensors = read_tensors(REFERENCE / f'{CASES["zeroi2v"]}.safetensors')
    changed = {k[13:]: v for k, v in tensors.items() if k.startswith('merged/param/')}
    kept = {k: v for k, v in official('zeroi2v').items() if 'Adapter' not in k}
    model = recogniser(adapters=())
    model.load_state_dict(to_ours('zeroi2v', kept | changed), strict=True)
    logits = model.cls_head(model.backbone(tensors['input'].float()))
    torch.testing.assert_close(logits, tensors['merged/logits'], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'name', ['backbone.attn_in.0.fc1.weight', 'backbone.trunk.conv1.weight', 'backbone.time_embed']
)
def test_a_tensor_of_another_size_is_not_loaded(name):
    state = to_ours('zeroi2v', official('zeroi2v'))
    state[name] = state[name][:-1]
    with pytest.raises(RuntimeError, match=f'size mismatch for {name}'):
        recogniser().load_state_dict(state, strict=True)


def test_adapters_that_a_model_lacks_are_not_loaded():
    with pytest.raises(RuntimeError, match=r'Unexpected key.*mlp_out'):
        recogniser(adapters=('attn_in', 'attn_out', 'mlp_in')).load_state_dict(
            to_ours('zeroi2v', official('zeroi2v')), strict=True
        )


def test_what_is_converted_computes_for_any_length():
    model = recogniser()
    model.load_state_dict(to_ours('zeroi2v', official('zeroi2v')))
    clips = toy_clips(num_frames=7, size=24)
    assert model.backbone(clips).shape == (2, 32)
