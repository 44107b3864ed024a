"""`mmstadapter merge`: the same scores without adapters, in files that need no other."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import load_file
from torch import nn

from mmstadapter.apis.adapter_model import read_model
from mmstadapter.commands.merge import main
from mmstadapter.engine.tuned_checkpoint import read_adapter, write_adapter
from mmstadapter.models import CLIPViT
from mmstadapter.testing import TINY_ARCH, tiny_trunk, toy_clips, write_clip_file

PIPELINE = [dict(type='mmstadapter.VideoInit'), dict(type='PackActionInputs')]


@pytest.fixture(params=[None, 'float16'], ids=['float32', 'float16'])
def adapter(request, tmp_path):
    """An adapter file of a trained ZeroI2V, its trunk beside it."""
    return write(tmp_path, 'ZeroI2VViT', request.param, num_frames=4, shifts=[[-1, 8], [1, 8]])


def write(folder, kind: str, dtype: str | None, **options):
    checkpoint = write_clip_file(folder / 'clip.safetensors', seed=4)
    trunk = tiny_trunk(checkpoint=checkpoint, tune='after_blocks', dtype=dtype)
    backbone = dict(type=f'mmstadapter.{kind}', trunk=trunk, **options)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=2)
    model = dict(type='Recognizer3D', backbone=backbone, cls_head=head)
    config = Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))
    trained = MODELS.build(config.model)
    trained.init_weights()
    for parameter in (p for p in trained.parameters() if p.requires_grad):
        nn.init.normal_(parameter, std=0.1)
    write_adapter(folder / 'adapter.safetensors', trained, config, labels=['a', 'b'])
    return folder / 'adapter.safetensors'


@torch.no_grad()
def scores(model: nn.Module) -> torch.Tensor:
    return model.cls_head(model.eval().backbone(toy_clips()))


def test_the_merged_file_gives_the_same_scores_and_needs_no_trunk(adapter, tmp_path, capsys):
    before = scores(read_model(adapter).model)
    main([str(adapter), str(tmp_path / 'merged.safetensors')])
    assert 'merged.safetensors: 0.2 MiB' in capsys.readouterr().out
    (tmp_path / 'clip.safetensors').unlink()
    made = read_model(tmp_path / 'merged.safetensors')
    torch.testing.assert_close(scores(made.model), before, atol=1e-6, rtol=1e-6)
    assert made.header['labels'] == ['a', 'b']
    names = {n.split('.')[1] for n in read_adapter(tmp_path / 'merged.safetensors')[0]}
    assert names == {'trunk', 'time_embed', 'fc_cls'}
    with pytest.raises(FileNotFoundError):
        read_model(adapter)


def test_the_merged_trunk_is_a_clip_file(adapter, tmp_path):
    main(
        [str(adapter), str(tmp_path / 'm.safetensors'), '--trunk', str(tmp_path / 't.safetensors')]
    )
    merged = read_model(tmp_path / 'm.safetensors').model.backbone
    trunk = CLIPViT(dict(TINY_ARCH), checkpoint=str(tmp_path / 't.safetensors'))
    trunk.init_weights()
    assert all(n.startswith('visual.') for n in load_file(tmp_path / 't.safetensors'))
    ours, theirs = trunk.state_dict(), merged.trunk.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def fails(*arguments) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    assert end.value.code != 0


def test_adapters_that_are_not_linear_are_refused(tmp_path, capsys):
    adapter = write(tmp_path, 'AIMViT', None)
    fails(adapter, tmp_path / 'merged.safetensors')
    assert 'only the adapters of ZeroI2VViT are linear, got AIMViT' in capsys.readouterr().err
    assert not (tmp_path / 'merged.safetensors').exists()


def test_no_file_is_written_over_another(adapter, tmp_path, capsys):
    out = tmp_path / 'out.safetensors'
    fails(adapter, tmp_path / 'clip.safetensors')
    assert 'clip.safetensors exists; use --force' in capsys.readouterr().err
    fails(adapter, adapter, '--force')
    fails(adapter, out, '--trunk', out)
    assert capsys.readouterr().err.count('must be different files') == 2
    fails(adapter, tmp_path / 'out.pth')
    assert 'must end in .safetensors' in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_no_adapter_is_named(tmp_path, capsys):
    file = write_clip_file(tmp_path / 'clip.safetensors')
    fails(file, tmp_path / 'out.safetensors')
    assert 'not an adapter file of mmstadapter' in capsys.readouterr().err
