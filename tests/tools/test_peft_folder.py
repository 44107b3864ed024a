"""`mmstadapter peft`: adapter files from and to folders of the library peft."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmstadapter.apis.adapter_model import read_model
from mmstadapter.commands.peft import main
from mmstadapter.engine.tuned_checkpoint import write_adapter
from mmstadapter.testing import tiny_trunk, toy_clips, write_clip_file

peft = pytest.importorskip('peft', reason='peft is not installed')
PIPELINE = [dict(type='mmstadapter.VideoInit'), dict(type='PackActionInputs')]


def config(folder, **trunk) -> Config:
    trunk = tiny_trunk(checkpoint=str(folder / 'clip.safetensors'), **trunk)
    model = dict(
        type='Recognizer3D',
        backbone=dict(type='mmstadapter.FrameMeanViT', trunk=trunk),
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=2),
    )
    return Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))


@pytest.fixture(params=[None, ['q', 'v']], ids=['all layers', 'q and v'])
def home(request, tmp_path):
    """A folder with an image model, an adapter file with LoRA, and a config without."""
    write_clip_file(tmp_path / 'clip.safetensors', seed=4)
    config(tmp_path).dump(tmp_path / 'plain.py')
    with_lora = config(tmp_path, lora=dict(r=2, alpha=3, targets=request.param))
    with_lora.dump(tmp_path / 'lora.py')
    model = MODELS.build(with_lora.model)
    model.init_weights()
    for parameter in (p for p in model.parameters() if p.requires_grad):
        nn.init.normal_(parameter, std=0.1)
    write_adapter(tmp_path / 'adapter.safetensors', model, with_lora)
    return tmp_path


@torch.no_grad()
def scores(model: nn.Module) -> torch.Tensor:
    return model.cls_head(model.eval().backbone(toy_clips()))


@pytest.mark.slow
def test_there_and_back_gives_the_same_scores(home, capsys):
    before = scores(read_model(home / 'adapter.safetensors').model)
    main([str(home / 'adapter.safetensors'), str(home / 'folder')])
    assert 'folder/adapter_model.safetensors: 0.0 MiB' in capsys.readouterr().out
    plain = MODELS.build(Config.fromfile(home / 'plain.py').model)
    plain.init_weights()
    theirs = peft.PeftModel.from_pretrained(plain, home / 'folder').base_model.model
    torch.testing.assert_close(scores(theirs), before)
    for name in ('lora.py', 'plain.py'):
        out = home / f'{name}.safetensors'
        main([str(home / 'folder'), str(out), '--config', str(home / name)])
        torch.testing.assert_close(scores(read_model(out).model), before)


@pytest.mark.slow
def test_a_trunk_alone(home):
    model = read_model(home / 'adapter.safetensors').model
    main([str(home / 'adapter.safetensors'), str(home / 'folder'), '--only', 'backbone.trunk'])
    plain = MODELS.build(tiny_trunk(checkpoint=str(home / 'clip.safetensors')))
    plain.init_weights()
    theirs = peft.PeftModel.from_pretrained(plain, home / 'folder').eval()
    frames = toy_clips()[:, :, 0]
    torch.testing.assert_close(theirs(frames), model.backbone.trunk(frames))
    main([str(home / 'folder'), str(home / 'o.safetensors'), '--config', str(home / 'plain.py')])
    again = read_model(home / 'o.safetensors').model.backbone.trunk
    torch.testing.assert_close(again(frames), model.backbone.trunk(frames))


@pytest.mark.slow
def test_what_does_not_go_together_is_refused(home, capsys):
    (home / 'empty').mkdir()
    adapter, folder, config = (str(home / n) for n in ('adapter.safetensors', 'new', 'plain.py'))
    for arguments, message in {
        (adapter, folder, '--config', config): 'an adapter file has its own',
        (str(home / 'empty'), folder): 'a folder goes into the model of --config',
        (str(home / 'empty'), folder, '--config', config): 'into a .safetensors file',
        (adapter, str(home / 'empty')): 'empty exists; use --force',
        (adapter, folder, '--only', 'text_tower'): 'must be among backbone.trunk, got text_tower',
        (
            str(home / 'empty'),
            f'{folder}.safetensors',
            '--config',
            config,
        ): 'no adapter_config.json',
    }.items():
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        assert end.value.code != 0 and message in capsys.readouterr().err
    assert not (home / 'new').exists() and not (home / 'new.safetensors').exists()
