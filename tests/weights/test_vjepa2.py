"""Released probe files of V-JEPA 2, lists of state dicts: there and back, onto our models."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmstadapter.commands.convert import main
from mmstadapter.testing import fill, tiny_trunk, toy_clips
from mmstadapter.weights import from_ours, read_tensors, to_ours

CASE = Path(__file__).parents[1] / 'reference/parity/vjepa2_2_one_block.safetensors'


def official(factor: float = 1.0) -> dict[str, Tensor]:
    """The state dict of a probe as its training saves it."""
    given = {k[6:]: v.float() for k, v in read_tensors(CASE).items() if k.startswith('param/')}
    return {f'module.{name}': factor * tensor for name, tensor in given.items()}


def write(path: Path, probes: list[dict[str, Tensor]]) -> Path:
    rest = dict(opt=[dict(state={})] * len(probes), scaler=None, epoch=20, batch_size=4)
    torch.save(dict(classifiers=probes, **rest), path)
    return path


def convert(*arguments) -> None:
    origin, target, src, dst = map(str, arguments)
    main(['--from', origin, '--to', target, src, dst])


@pytest.mark.parametrize(
    ('source', 'number'), [('vjepa2-probe', 1), ('vjepa2-probes', 2), ('vjepa2-probes', 11)]
)
def test_an_official_file_comes_back_as_it_was(source, number, tmp_path):
    probes = [official(factor=i + 1) for i in range(number)]
    src = write(tmp_path / 'official.pt', probes)
    ours, back = tmp_path / 'ours.pth', tmp_path / 'back.pth'
    convert(source, 'mmstadapter', src, ours)
    assert len(torch.load(ours, weights_only=True)['state_dict']) == 15 * number
    convert('mmstadapter', source, ours, back)
    again = torch.load(back, weights_only=True)
    assert again.keys() == {'classifiers'} and len(again['classifiers']) == number
    for found, given in zip(again['classifiers'], probes, strict=True):
        assert found.keys() == given.keys()
        assert all(torch.equal(found[name], given[name]) for name in given)


def test_a_file_of_safetensors_holds_the_same_names_flat(tmp_path):
    src = write(tmp_path / 'official.pt', [official(), official(2.0)])
    convert('vjepa2-probes', 'mmstadapter', src, tmp_path / 'ours.safetensors')
    convert('mmstadapter', 'vjepa2-probes', tmp_path / 'ours.safetensors', tmp_path / 'b.pth')
    again = torch.load(tmp_path / 'b.pth', weights_only=True)['classifiers']
    assert torch.equal(again[1]['module.linear.bias'], 2 * official()['module.linear.bias'])


def test_several_probes_are_not_taken_for_one(tmp_path, capsys):
    src = write(tmp_path / 'official.pt', [official(), official()])
    with pytest.raises(SystemExit):
        convert('vjepa2-probe', 'mmstadapter', src, tmp_path / 'ours.pth')
    assert "vjepa2-probe: no rule for 'classifiers.0" in capsys.readouterr().err


def test_names_without_a_counterpart_are_refused():
    with pytest.raises(KeyError, match="vjepa2-probe: no rule for 'pooler.pos_embed'"):
        to_ours('vjepa2-probe', {'pooler.pos_embed': torch.zeros(1)})
    with pytest.raises(KeyError, match='from ours: no rule for'):
        from_ours('vjepa2-probe', {'backbone.after_attn.0.fc1.weight': torch.zeros(1)})


def test_a_file_whose_list_holds_no_tensors_is_refused(tmp_path):
    path = write(tmp_path / 'odd.pt', [dict(official(), epoch=3)])
    with pytest.raises(ValueError, match='must hold dense tensors'):
        read_tensors(path)


@pytest.mark.parametrize('options', [{}, dict(complete_block=False, num_queries=2)], ids=str)
def test_our_probe_goes_there_and_comes_back(options):
    backbone = dict(type='mmstadapter.ProbeViT', trunk=tiny_trunk(), num_heads=2, **options)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=5, dropout_ratio=0.0)
    config = dict(type='Recognizer3D', backbone=backbone, cls_head=head)
    model = fill(MODELS.build(config)).eval()
    theirs = from_ours('vjepa2-probe', model.state_dict())
    assert len(theirs) == sum(p.requires_grad for p in model.parameters())
    assert theirs['pooler.query_tokens'].shape == (1, options.get('num_queries', 1), 32)
    again = fill(MODELS.build(config), seed=0).eval()
    fill(again.backbone.probes, seed=5)
    again.load_state_dict(again.state_dict() | to_ours('vjepa2-probe', theirs))
    video = toy_clips()[:, None]
    assert torch.equal(again(video), model(video))
